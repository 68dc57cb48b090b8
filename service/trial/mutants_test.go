package trial

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/model"
)

// mutants is how many damaged files are made: VIDI_MUTANTS, or few enough for every day. `make test-models-hostile` makes 1,000.
func mutants(t *testing.T) int {
	text := os.Getenv("VIDI_MUTANTS")
	if text == "" {
		return 50
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("VIDI_MUTANTS is %q; it must be a number", text)
	}
	return n
}

// mutate is a way to damage a file. Where harmless is true the content of every record is as it was: a mutant that is taken all the
// same must give the same answers.
var mutations = []struct {
	name     string
	harmless bool
	mutate   func(whole []byte, r *rand.Rand) []byte
}{
	{"truncated", true, func(whole []byte, r *rand.Rand) []byte { return whole[:len(whole)*(1+r.IntN(99))/100] }},
	{"flipped bits", true, func(whole []byte, r *rand.Rand) []byte { return flip(whole, 0, len(whole), 1+r.IntN(16), r) }},
	{"flipped bit", true, func(whole []byte, r *rand.Rand) []byte { return flip(whole, 0, len(whole), 1, r) }},
	{"directory", true, func(whole []byte, r *rand.Rand) []byte {
		return flip(whole, bytes.Index(whole, []byte("PK\x01\x02")), len(whole), 1+r.IntN(3), r)
	}},
	{"directory's sizes", true, lie},
	{"zeroed", true, func(whole []byte, r *rand.Rand) []byte {
		from := r.IntN(len(whole))
		copy := bytes.Clone(whole)
		clear(copy[from:min(len(copy), from+1+r.IntN(512))])
		return copy
	}},
	// With checksums that are right, so that they get as far as libtorch.
	{"pickle", false, func(whole []byte, r *rand.Rand) []byte { return content(whole, r, "data.pkl") }},
	{"constants", false, func(whole []byte, r *rand.Rand) []byte { return content(whole, r, "constants.pkl") }},
	{"code", false, func(whole []byte, r *rand.Rand) []byte { return content(whole, r, ".py") }},
	{"weights", false, func(whole []byte, r *rand.Rand) []byte { return content(whole, r, "/data/") }},
}

func flip(whole []byte, from, to, bits int, r *rand.Rand) []byte {
	copy := bytes.Clone(whole)
	for range bits {
		copy[from+r.IntN(to-from)] ^= 1 << r.IntN(8)
	}
	return copy
}

// lie writes a size or an offset into the directory that is not so, 2.2 GB among them.
func lie(whole []byte, r *rand.Rand) []byte {
	copy := bytes.Clone(whole)
	var entries []int
	for at := 0; ; at += 4 {
		next := bytes.Index(copy[at:], []byte("PK\x01\x02"))
		if next < 0 {
			break
		}
		at += next
		entries = append(entries, at)
	}
	entry := copy[entries[r.IntN(len(entries))]:]
	field := []int{20, 24, 28, 30, 42}[r.IntN(5)] // packed size, size, lengths of name and of extra, offset
	value := []uint32{0, 1, 0x7fffffff, 2_200_000_000, 0xfffffffe, r.Uint32()}[r.IntN(6)]
	if field == 28 || field == 30 {
		binary.LittleEndian.PutUint16(entry[field:], uint16(value))
	} else {
		binary.LittleEndian.PutUint32(entry[field:], value)
	}
	return copy
}

// content damages one record whose name ends in, or has, the given part, and corrects its checksum.
func content(whole []byte, r *rand.Rand, part string) []byte {
	reader, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		panic(err) // the whole file is good
	}
	var names []string
	for _, f := range reader.File {
		if strings.HasSuffix(f.Name, part) || part == "/data/" && strings.Contains(f.Name, part) {
			names = append(names, f.Name)
		}
	}
	chosen := names[r.IntN(len(names))]
	var out bytes.Buffer
	transform(reader, &out, func(name string, data []byte) []byte {
		if name != chosen {
			return data
		}
		switch r.IntN(4) {
		case 0:
			return data[:r.IntN(len(data)+1)]
		case 1: // a piece twice
			from := r.IntN(len(data))
			return append(bytes.Clone(data[:from]), data[r.IntN(from+1):]...)
		}
		return flip(data, 0, len(data), 1+r.IntN(8), r)
	})
	return out.Bytes()
}

// transform copies an archive with changed records.
func transform(reader *zip.Reader, w io.Writer, change func(name string, data []byte) []byte) {
	out := zip.NewWriter(w)
	for _, f := range reader.File {
		in, err := f.Open()
		if err != nil {
			panic(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			panic(err)
		}
		data = change(f.Name, data)
		record, err := out.CreateRaw(&zip.FileHeader{Name: f.Name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(data),
			CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data))})
		if err != nil {
			panic(err)
		}
		if _, err := record.Write(data); err != nil {
			panic(err)
		}
	}
	if err := out.Close(); err != nil {
		panic(err)
	}
}

func rewrite(t *testing.T, from, to string, change func(name string, data []byte) []byte) {
	t.Helper()
	whole, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	transform(reader, &out, change)
	if err := os.WriteFile(to, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// judge is what `vidi models add` does with a file before it writes anything. where is who refused it, "" if nobody did.
func judge(path string) (r *Report, where string, err error) {
	file, err := model.Inspect(path)
	if err != nil {
		return nil, "the look inside", err
	}
	if err := model.CheckRecords(path); err != nil {
		return nil, "the checksums", err
	}
	in := unknown()
	if file.Card != nil {
		in = file.Card.Input
	}
	r, err = Run(context.Background(), Request{Path: path, Examine: true, Input: in, Limits: Limits{Memory: 4 << 30, Time: 90 * time.Second}}, nil)
	if err != nil {
		return nil, "the trial", err
	}
	return r, "", nil
}

// Damaged files are refused, each with a reason, and this process outlives them all. Those whose damage hurts no record are taken,
// and answer as the whole file.
func TestMutants(t *testing.T) {
	whole, err := os.ReadFile(fixture(t, "tiny.pt"))
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := judge(fixture(t, "tiny.pt"))
	if err != nil {
		t.Fatal(err)
	}
	n, begun := mutants(t), time.Now()
	counts := map[string]int{}
	crashes := map[string]int{}
	for i := range n {
		if i > 0 && i%100 == 0 {
			t.Logf("%d of %d after %.0f s", i, n, time.Since(begun).Seconds())
		}
		m := mutations[i%len(mutations)]
		r := rand.New(rand.NewPCG(uint64(i), 7))
		mutant := m.mutate(whole, r)
		if m.name == "truncated" && n >= 990 {
			mutant = whole[:len(whole)*(1+i/len(mutations)%99)/100] // every percent
		}
		path := filepath.Join(t.TempDir(), fmt.Sprintf("mutant-%d.pt", i))
		if err := os.WriteFile(path, mutant, 0o644); err != nil {
			t.Fatal(err)
		}
		got, where, err := judge(path)
		os.Remove(path)
		counts[m.name+": "+cmp.Or(where, "taken")]++
		if err != nil {
			if text := err.Error(); !strings.Contains(text, path) || len(text) < len(path)+20 {
				t.Errorf("mutant %d (%s) was refused without a reason: %q", i, m.name, text)
			} else if strings.Contains(text, "libtorch crashed") || strings.Contains(text, "libtorch ended") {
				crashes[strings.TrimPrefix(strings.SplitN(text, "\n", 2)[0], path)]++
			}
			continue
		}
		if m.harmless && (got.Outputs != want.Outputs || fmt.Sprint(got.Trial.Golden) != fmt.Sprint(want.Trial.Golden)) {
			t.Errorf("mutant %d (%s) was taken, and answers %+v in place of %+v", i, m.name, got.Trial.Golden, want.Trial.Golden)
		}
	}
	t.Logf("%d mutants in %.0f s: this process lives; %d deaths of the other one", n, time.Since(begun).Seconds(), total(crashes))
	for _, table := range []map[string]int{counts, crashes} {
		keys := make([]string, 0, len(table))
		for key := range table {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		for _, key := range keys {
			t.Logf("%5d  %s", table[key], key)
		}
	}
}

func total(table map[string]int) (sum int) {
	for _, n := range table {
		sum += n
	}
	return sum
}
