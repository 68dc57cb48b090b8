package model

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// entry is a record for archiveOf.
type entry struct{ name, content string }

// network is a file that passes, but for what is added to it.
func network(more ...entry) []entry {
	return append([]entry{{"x/version", "3\n"}, {"x/data.pkl", noAttributes}, {"x/constants.pkl", "\x80\x02)."}, {"x/code/__torch__.py", harmless}}, more...)
}

const (
	harmless = "class M(Module):\n  def forward(self: __torch__.M, x: Tensor) -> Tensor:\n    return torch.relu(x)\n"
	// noAttributes is an object of that class.
	noAttributes = "\x80\x02c__torch__\nM\n)\x81}(ub."
	harmful      = "def f(x: Tensor) -> Tensor:\n  torch.save(x, \"/tmp/x\")\n  return x\n"
)

func archiveOf(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		record, err := w.CreateHeader(&zip.FileHeader{Name: e.name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := record.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func inspectBytes(data []byte) (*File, error) {
	return inspect(bytes.NewReader(data), int64(len(data)), "model.pt")
}

// whatIsWrong is what the look at a file found: the operators, or why it is refused.
func whatIsWrong(data []byte) string {
	file, err := inspectBytes(data)
	if err != nil {
		return err.Error()
	}
	return strings.Join(file.UnlistedNames(), ", ")
}

func TestCodeIsFoundWhereverItLies(t *testing.T) {
	if wrong := whatIsWrong(archiveOf(t, network())); wrong != "" {
		t.Fatalf("the network itself: %s", wrong)
	}
	for name, c := range map[string]struct {
		more []entry
		want string
	}{
		"in another module":        {[]entry{{"x/code/__torch__/a/b.py", harmful}}, "torch.save"},
		"outside of __torch__":     {[]entry{{"x/code/evil.py", harmful}}, "torch.save"},
		"in capital letters":       {[]entry{{"x/CODE/__torch__/a.py", harmful}}, "capital letters"},
		"with a capital ending":    {[]entry{{"x/code/__torch__/a.PY", harmful}}, "among its code"},
		"without an ending":        {[]entry{{"x/code/__torch__/a", harmful}}, "among its code"},
		"twice, but for capitals":  {[]entry{{"x/code/__TORCH__.py", harmful}}, "but for capital letters"},
		"twice":                    {[]entry{{"x/code/__torch__.py", harmful}}, "two records named"},
		"in a second archive":      {[]entry{{"y/code/__torch__/a.py", harmful}}, "outside of the folder"},
		"outside of the folder":    {[]entry{{"code", harmful}}, "outside of the folder"},
		"below a dot":              {[]entry{{"x/./code/__torch__/a.py", harmful}}, "two ways"},
		"below a doubled slash":    {[]entry{{"x//code/__torch__/a.py", harmful}}, "two ways"},
		"with the other slash":     {[]entry{{`x/code\__torch__\a.py`, harmful}}, "two ways"},
		"with a NUL":               {[]entry{{"x/code/__torch__/a.py\x00.txt", harmful}}, "two ways"},
		"as PyTorch 1.0 wrote it":  {[]entry{{"x/model.json", "{}"}, {"x/code/a.py", harmless}}, "model.json"},
		"… in capital letters":     {[]entry{{"x/Model.json", "{}"}}, "Model.json"},
		"DATA.PKL":                 {[]entry{{"x/DATA.PKL", "\x80\x02}."}}, "capital letters"},
		"a folder, as zip has it":  {[]entry{{"x/code/", ""}}, ""},
		"a pickle that is damaged": {[]entry{{"x/code/__torch__/b.py", harmless}}, ""},
	} {
		if wrong := whatIsWrong(archiveOf(t, network(c.more...))); !strings.Contains(wrong, c.want) || (wrong == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", name, wrong, c.want)
		}
	}
	for pickle, want := range map[string]string{
		noAttributes:               "",
		"\x80\x02cos\nsystem\n)R.": "os.system",
		"\x80\x02c__torch__\nM\n)\x81}(K\x01c__torch__.torch.classes.xnnpack\nContext\n)\x81}(ubub.": "Context",
		"\x80\x02\xffgarbage": "the instruction 0xff at byte 2",
		"\x80\x02c__torch__":  "damaged at byte 3",
		"\x80\x03}.":          "no pickle of protocol 2",
		"\x80\x02}.":          "a dictionary instead of a network",
		"\x80\x02).":          "a tuple instead of a network",
		"":                    "damaged at byte 0",
	} {
		entries := network()
		entries[1].content = pickle
		if wrong := whatIsWrong(archiveOf(t, entries)); !strings.Contains(wrong, want) || (wrong == "") != (want == "") {
			t.Errorf("%q: %q, want %q", pickle, wrong, want)
		}
	}
}

// Two readers of zip files may find different records in one file. What Go's finds is what is looked at, and what libtorch's finds is
// what runs.
func TestAnArchiveCannotBeReadInTwoWays(t *testing.T) {
	good := archiveOf(t, network())
	bad := archiveOf(t, network(entry{"x/code/__torch__/a.py", harmful}))
	directory := bytes.Index(good, []byte("PK\x01\x02"))
	end := len(good) - endRecord
	changed := func(at int, to ...byte) []byte {
		data := bytes.Clone(good)
		copy(data[at:], to)
		return data
	}
	le := binary.LittleEndian
	// with64 has large numbers before its end, which name the directory at offset.
	with64 := func(records, length, offset int) []byte {
		data := bytes.Clone(good[:end])
		large := le.AppendUint64(le.AppendUint32(nil, 0x06064b50), end64Record-12)
		large = append(large, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		large = le.AppendUint64(le.AppendUint64(large, uint64(records)), uint64(records))
		large = le.AppendUint64(le.AppendUint64(large, uint64(length)), uint64(offset))
		large = le.AppendUint32(le.AppendUint32(large, 0x07064b50), 0)
		large = le.AppendUint32(le.AppendUint64(large, uint64(end)), 1)
		return append(append(data, large...), good[end:]...)
	}
	if wrong := whatIsWrong(with64(4, end-directory, directory)); wrong != "" {
		t.Errorf("large numbers as PyTorch writes them: %s", wrong)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"another archive follows":            {append(bytes.Clone(good), bad...), ""},
		"something follows":                  {append(bytes.Clone(good), "something"...), "follows"},
		"a comment holds another end":        {append(changed(end+20, endRecord, 0), good[end:]...), ""},
		"a comment":                          {append(changed(end+20, 4, 0), "abcd"...), "follows"},
		"something precedes":                 {append([]byte("PK\x03\x04 something"), good...), "does not end where it says"},
		"large numbers name fewer records":   {with64(3, end-directory, directory), "twice"},
		"large numbers name other places":    {with64(4, end-directory-1, directory+1), "twice"},
		"fewer records are said than follow": {changed(end+8, 3, 0, 3, 0), ""},
		"the directory is said to be longer": {changed(end+12, byte(end-directory+1)), ""},
		"the header calls it something else": {changed(2+bytes.Index(good, []byte("x/version")), 'V'), "where it lies"},
		"the header packs it otherwise":      {changed(8, 8), "where it lies"},
		"the directory says encrypted":       {changed(directory+8, 1), "encrypted"},
		"the header lies elsewhere":          {changed(directory+42, 1), ""},
	} {
		if wrong := whatIsWrong(c.data); wrong == "" || !strings.Contains(wrong, c.want) {
			t.Errorf("%s: %q, want %q", name, wrong, c.want)
		}
	}
}

func TestTrustIsBoundToTheFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, entries []entry) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, archiveOf(t, entries), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	evil := entry{"x/code/__torch__/a.py", harmful}
	path := write("evil.pt", network(evil))
	permit := func(path string, trust Trust) error {
		t.Helper()
		file, err := Inspect(path)
		if err != nil {
			t.Fatal(err)
		}
		return file.Permit(trust)
	}
	var refused *OperatorError
	if err := permit(path, Trust{}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "torch.save (code/__torch__/a.py, line 2)") {
		t.Fatalf("refused with %v", err)
	}
	trust := Trust{SHA256: []string{refused.SHA256}}
	if err := permit(path, trust); err != nil {
		t.Errorf("trusted: %v", err)
	}
	other := write("other.pt", network(evil, entry{"x/extra/note", "another file of the same author"}))
	if err := permit(other, trust); err == nil {
		t.Error("another file was trusted as well")
	}
	// What lies beside the file decides nothing: who can write the one can write the other.
	manifest := fmt.Sprintf(`{"sha256": {"evil.pt": %q}, "trusted": {%q: ["torch.save"]}}`, refused.SHA256, refused.SHA256)
	if err := os.WriteFile(filepath.Join(dir, ManifestFile), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := permit(path, Trust{}); err == nil {
		t.Error("a manifest beside the file was believed")
	}
}

func TestTheLookAtTheCodeIsQuick(t *testing.T) {
	const size, want = 1 << 20, 2 * time.Second // for 0.05 s: other work may run here
	code := harmless + strings.Repeat("def f(x: Tensor) -> Tensor:\n  _0 = torch.add(torch.conv2d(x, x, None, [1, 1]), x, alpha=1)\n  return _0\n", size/100)
	begun := time.Now()
	wrong := whatIsWrong(archiveOf(t, network(entry{"x/code/__torch__/a.py", code})))
	if took := time.Since(begun); wrong != "" || took > want {
		t.Errorf("%s; %v for %d bytes, more than %v", wrong, took, len(code), want)
	} else {
		t.Logf("%v for %.1f MB of code, some ten times that of a ResNet-152", took, float64(len(code))/1e6)
	}
}
