package keys

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// ring is one with the lines given, whose hashes are those of the keys "secret-NAME".
func ring(t *testing.T, lines ...Line) *Ring {
	t.Helper()
	for i := range lines {
		lines[i].Hash("secret-" + lines[i].Name)
		if err := lines[i].Check(); err != nil {
			t.Fatal(err)
		}
	}
	r := &Ring{}
	r.set(lines)
	return r
}

func bearer(key string) http.Header { return http.Header{"Authorization": {"Bearer " + key}} }

func TestRolesDecide(t *testing.T) {
	r := ring(t, Line{Name: "shop", Roles: []Role{Infer}}, Line{Name: "graph", Roles: []Role{Metrics}}, Line{Name: "root", Roles: []Role{Admin}})
	for _, c := range []struct {
		key  string
		role Role
		name string
		err  error
	}{
		{"secret-shop", Infer, "shop", nil},
		{"secret-shop", Metrics, "shop", ErrForbidden},
		{"secret-shop", Admin, "shop", ErrForbidden},
		{"secret-graph", Metrics, "graph", nil},
		{"secret-graph", Infer, "graph", ErrForbidden},
		{"secret-root", Infer, "root", nil},
		{"secret-root", Metrics, "root", nil},
		{"secret-root", Admin, "root", nil},
		{"", Infer, "", ErrNoKey},
		{"secret-shop2", Infer, "", ErrUnknown},
		{"secret-sho", Infer, "", ErrUnknown},
		{"SECRET-SHOP", Infer, "", ErrUnknown},
		{strings.Repeat("x", 60_000), Infer, "", ErrUnknown},
	} {
		name, err := r.Check(bearer(c.key), c.role)
		if name != c.name || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%.20q as %s: %q, %v; want %q, %v", c.key, c.role, name, err, c.name, c.err)
		}
	}
	var open *Ring
	if name, err := open.Check(http.Header{}, Infer); name != "" || err != nil {
		t.Errorf("without a key file: %q, %v", name, err)
	}
}

func TestBothHeadersAreRead(t *testing.T) {
	for want, h := range map[string]http.Header{
		"a": {"Authorization": {"Bearer a"}},
		"b": {"Authorization": {"bearer  b "}},
		"c": {"X-Api-Key": {" c"}},
		"d": {"Authorization": {"Bearer d"}, "X-Api-Key": {"other"}},
		"e": {"Authorization": {"Basic dTpw"}, "X-Api-Key": {"e"}}, // a proxy's own log-in
		"":  {"Authorization": {"Basic dTpw"}},
	} {
		if got := FromHeaders(h); got != want {
			t.Errorf("%v: %q, want %q", h, got, want)
		}
	}
}

// Nothing near a key opens: 10^5 tries with a part of it, and with one letter changed.
func TestNothingNearAKeyOpens(t *testing.T) {
	key := New()
	line := Line{Name: "shop", Roles: []Role{Infer}}
	line.Hash(key)
	r := &Ring{}
	r.set([]Line{line})
	if _, err := r.Check(bearer(key), Infer); err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		near := []byte(key)
		if at := i % len(near); i%2 == 0 {
			near = near[:at]
		} else {
			near[at] ^= byte(1 + i%31)
		}
		if _, err := r.Check(bearer(string(near)), Infer); err == nil {
			t.Fatalf("%q opens, and the key is %q", near, key)
		}
	}
}

func TestNewKeysAreLongAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		key := New()
		if len(key) != len(prefix)+52 || !strings.HasPrefix(key, prefix) || seen[key] || strings.ToLower(key) != key {
			t.Fatalf("%q", key)
		}
		seen[key] = true
	}
}

func TestRateIsPerKey(t *testing.T) {
	r := ring(t, Line{Name: "slow", Roles: []Role{Infer}, Rate: "2/m"}, Line{Name: "other", Roles: []Role{Infer}, Rate: "1/h", Burst: 3})
	for i, want := range []bool{true, true, false, false} {
		_, err := r.Check(bearer("secret-slow"), Infer)
		var tooOften *TooOften
		if (err == nil) != want || !want && (!errors.As(err, &tooOften) || tooOften.Wait < 20*time.Second || tooOften.Wait > 30*time.Second) {
			t.Errorf("request %d: %v", i, err) // refused ones use nothing up: the wait stays half a minute
		}
	}
	for i := range 3 {
		if _, err := r.Check(bearer("secret-other"), Infer); err != nil {
			t.Errorf("request %d of the other key: %v", i, err)
		}
	}
}

func TestParse(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	lines, err := Parse([]byte("# who\n\nshop infer sha256:" + hash + " rate=20/s burst=40 # the web shop\n\tops  metrics,admin\tsha256:" + strings.Repeat("cd", 32)))
	if err != nil || len(lines) != 2 {
		t.Fatalf("%+v, %v", lines, err)
	}
	if got := lines[0].String(); got != "shop infer sha256:"+hash+" rate=20/s burst=40" {
		t.Errorf("%q", got)
	}
	if l := lines[1]; l.Name != "ops" || l.RoleList() != "metrics,admin" || l.Rate != "" {
		t.Errorf("%+v", l)
	}
	// Windows' editors put a mark before UTF-8; a comment may be in an older encoding.
	if lines, err := Parse([]byte("\xef\xbb\xbfshop infer sha256:" + hash + "\r\n# cl\xe9\r\n")); err != nil || len(lines) != 1 || lines[0].Name != "shop" {
		t.Errorf("with a byte-order mark: %+v, %v", lines, err)
	}
	for text, says := range map[string]string{
		"\xff\xfes\x00h\x00o\x00p\x00":                                                  "UTF-16",
		"shop infer":                                                                    "name, roles, sha256:HASH",
		"shop infer sha256:abcd":                                                        "cut short",
		"shop infer vidi_secretsecretsecret":                                            "64 hexadecimal digits",
		"shop cook sha256:" + hash:                                                      "infer,metrics,admin",
		"a/b infer sha256:" + hash:                                                      "no name for a key",
		"shop infer sha256:" + hash + " rate=fast":                                      "20/s",
		"shop infer sha256:" + hash + " rate=0/s":                                       "20/s",
		"shop infer sha256:" + hash + " rate=1/day":                                     "20/s",
		"shop infer sha256:" + hash + " rate=1/s burst=-1":                              "burst",
		"shop infer sha256:" + hash + " burst=5":                                        "20/s",
		"shop infer sha256:" + hash + " colour=red":                                     "not known here",
		"shop infer sha256:" + hash + "\nshop infer sha256:" + strings.Repeat("00", 32): "taken by line 1",
		"shop infer sha256:" + hash + "\nstore infer sha256:" + hash:                    "the same key as shop",
		strings.Repeat("x", 100_000):                                                    "too long",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.80q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "vidi_secret") {
			t.Errorf("the error repeats a key: %v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("shop infer sha256:" + strings.Repeat("ab", 32) + " rate=20/s burst=40")
	f.Add("# nothing\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := Parse([]byte(text))
		if err != nil {
			return
		}
		var written strings.Builder
		for i := range lines {
			fmt.Fprintln(&written, &lines[i])
		}
		again, err := Parse([]byte(written.String()))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(lines) {
			t.Errorf("%q was written as %q: %v", text, written.String(), err)
		}
	})
}

func TestAppendMakesAPrivateFileAndKeepsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.txt")
	add := func(name string) error {
		line := Line{Name: name, Roles: []Role{Infer}}
		line.Hash(New())
		return Append(path, line)
	}
	if err := add("one"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || ReadableByOthers(path) {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("# by hand\n"+strings.TrimSuffix(string(data), "\n")), 0o644); err != nil { // without the last line's end
		t.Fatal(err)
	}
	if err := add("two"); err != nil {
		t.Fatal(err)
	}
	if err := add("one"); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("a name twice: %v", err)
	}
	lines, err := ReadFile(path)
	if err != nil || len(lines) != 2 || lines[1].Name != "two" {
		t.Errorf("%+v, %v", lines, err)
	}
	if err := os.Chmod(path, 0o644); err != nil || !ReadableByOthers(path) {
		t.Errorf("readable by others, and not noticed: %v", err)
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "vidi keys new") {
		t.Errorf("no file: %v", err)
	}
}

// A request's further pictures are paid for afterwards, however many they are.
func TestChargeIsPaidBack(t *testing.T) {
	limited := &key{name: "a", limiter: rate.NewLimiter(10, 20)}
	var r Ring
	r.keys.Store(&[]*key{{name: "b"}, limited})
	now := time.Now()
	if err := limited.take(now); err != nil {
		t.Fatal(err)
	}
	r.Charge("a", 63)
	r.Charge("b", 63)
	r.Charge("", 63)
	var often *TooOften
	// 20 at once and 64 used: 44 are owed, and one is needed, at 10 a second.
	if err := limited.take(time.Now()); !errors.As(err, &often) || often.Wait < 4*time.Second || often.Wait > 4600*time.Millisecond {
		t.Errorf("after 64 pictures: %v", err)
	}
	var open *Ring
	open.Charge("a", 1)
}
