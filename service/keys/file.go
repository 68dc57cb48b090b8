package keys

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/vidi-vision/vidi/service/userfile"
)

// The file has one key a line: a name, its roles, the SHA-256 of the key and, if it is limited, its rate.
//
//	# made with `vidi keys new`
//	webshop  infer          sha256:9f86d0…  rate=20/s burst=40
//	grafana  metrics        sha256:60303a…

// maxFile is far more than anybody's keys take: 1 MiB is some 8,000.
const maxFile = 1 << 20

// validName keeps names harmless in logs and in the file.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Line is one key of the file.
type Line struct {
	Name  string
	Roles []Role
	Rate  string // "20/s", "100/m", "1000/h"; "" is no limit
	Burst int    // requests at once; 0 is as many as the rate's number
	hash  [sha256.Size]byte
}

// Hash makes the line that of the key.
func (l *Line) Hash(key string) { l.hash = sha256.Sum256([]byte(key)) }

// String is the line as the file has it.
func (l *Line) String() string {
	s := fmt.Sprintf("%s %s sha256:%s", l.Name, roleList(l.Roles), hex.EncodeToString(l.hash[:]))
	if l.Rate != "" {
		s += " rate=" + l.Rate
	}
	if l.Burst != 0 {
		s += fmt.Sprintf(" burst=%d", l.Burst)
	}
	return s
}

func roleList(roles []Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ",")
}

// RoleList is the roles as the file has them.
func (l *Line) RoleList() string { return roleList(l.Roles) }

// Check finds what is wrong with the name, the roles and the rate.
func (l *Line) Check() error {
	if !validName.MatchString(l.Name) {
		return fmt.Errorf("%q is no name for a key; use letters, digits, dots, dashes and underscores, 64 at most", l.Name)
	}
	if len(l.Roles) == 0 {
		return fmt.Errorf("%s has no role; give it one or more of %s", l.Name, roleList(Roles))
	}
	for _, r := range l.Roles {
		if !slices.Contains(Roles, r) {
			return fmt.Errorf("%s has the role %q; there are %s", l.Name, r, roleList(Roles))
		}
	}
	_, err := l.quota()
	return err
}

// quota is how often a key may be used; the zero value is no limit.
type quota struct {
	perSecond rate.Limit
	burst     int
}

var units = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

func (l *Line) quota() (quota, error) {
	if l.Rate == "" && l.Burst == 0 {
		return quota{}, nil
	}
	number, unit, _ := strings.Cut(l.Rate, "/")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 1_000_000 || units[unit] == 0 {
		return quota{}, fmt.Errorf("%s has the rate %q; for example 20/s, 600/m or 1000/h", l.Name, l.Rate)
	}
	q := quota{perSecond: rate.Limit(float64(n) / units[unit].Seconds()), burst: n}
	if l.Burst < 0 || l.Burst > 1_000_000 {
		return quota{}, fmt.Errorf("%s has the burst %d; it must be 1 to 1000000", l.Name, l.Burst)
	}
	if l.Burst > 0 {
		q.burst = l.Burst
	}
	return q, nil
}

// Parse reads a key file's content. The errors name the line.
func Parse(data []byte) ([]Line, error) {
	data, err := userfile.Unmarked(data)
	if err != nil {
		return nil, err
	}
	var lines []Line
	names := map[string]int{}
	hashes := map[[sha256.Size]byte]string{}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	for number := 1; scanner.Scan(); number++ {
		text, _, _ := strings.Cut(scanner.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		line, err := parseLine(fields)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", number, err)
		case names[line.Name] != 0:
			return nil, fmt.Errorf("line %d: the name %s is taken by line %d", number, line.Name, names[line.Name])
		case hashes[line.hash] != "":
			return nil, fmt.Errorf("line %d: %s has the same key as %s", number, line.Name, hashes[line.hash])
		}
		names[line.Name], hashes[line.hash] = number, line.Name
		lines = append(lines, line)
	}
	return lines, scanner.Err()
}

func parseLine(fields []string) (Line, error) {
	if len(fields) < 3 {
		return Line{}, errors.New("a key's line is: name, roles, sha256:HASH; `vidi keys new` writes one")
	}
	line := Line{Name: fields[0]}
	for _, role := range strings.Split(fields[1], ",") {
		line.Roles = append(line.Roles, Role(role))
	}
	digest, found := strings.CutPrefix(fields[2], "sha256:")
	hash, err := hex.DecodeString(digest)
	if !found || err != nil || len(hash) != sha256.Size {
		// Not quoted: somebody may have put the key itself there, and this goes into the log.
		return Line{}, fmt.Errorf("the third field of %q is not sha256: and 64 hexadecimal digits; was the line cut short?", line.Name)
	}
	copy(line.hash[:], hash)
	for _, field := range fields[3:] {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "rate":
			line.Rate = value
		case "burst":
			if line.Burst, err = strconv.Atoi(value); err != nil || line.Burst < 1 {
				return Line{}, fmt.Errorf("burst=%s is not a whole number of 1 or more", value)
			}
		default:
			return Line{}, fmt.Errorf("%s is not known here; after the hash come rate=… and burst=…", name)
		}
	}
	return line, line.Check()
}

// ReadFile is the lines of the key file at path.
func ReadFile(path string) ([]Line, error) {
	_, lines, err := load(path)
	return lines, err
}

// load is the key file at path, as bytes and as lines.
func load(path string) ([]byte, []Line, error) {
	data, err := read(path)
	if err != nil {
		return nil, nil, err
	}
	lines, err := Parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, lines, nil
}

func read(path string) ([]byte, error) {
	data, err := userfile.Read(path, "a key file", maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, userfile.Missing("there is no key file %s; `vidi keys new NAME --role infer --keys %s` makes one", path, path)
	}
	return data, err
}

// ReadableByOthers reports whether users other than the file's owner and group may read it.
func ReadableByOthers(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o004 != 0
}
