package preprocess

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// largeFiles is how many files testdata/large.py is asked for in all, filesPerDay how many in a
// day: others than the day before.
const largeFiles, filesPerDay = 208, 8

// TestLargeJPEG wants Pillow's input tensor, to the last bit, from JPEG files as large as those of
// cameras, of every sampling: rows above the crop are skipped in many steps there.
func TestLargeJPEG(t *testing.T) {
	if _, err := exec.LookPath("cjpeg"); err != nil {
		missing(t, "cjpeg (libjpeg-turbo-progs) is not installed")
	}
	python := pillowPython(t)
	first, count := int(time.Now().Unix()/86400)*filesPerDay%largeFiles, filesPerDay
	if os.Getenv("VIDI_JPEG") == "all" {
		first, count = 0, largeFiles
	} else {
		t.Logf("files %d to %d of 0 to %d; VIDI_JPEG=all takes the rest", first, first+count-1, largeFiles-1)
	}
	differ := 0
	for n := first; n < first+count; n++ {
		cmd := exec.Command(python, "testdata/large.py", "../../examples", t.TempDir(), strconv.Itoa(n))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var theirs pillowAnswer
		lines := bufio.NewScanner(bytes.NewReader(out))
		lines.Buffer(nil, 1<<20)
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &theirs) != nil {
			t.Fatalf("large.py %d printed %q", n, out)
		}
		data, err := os.ReadFile(theirs.File)
		if err != nil {
			t.Fatal(err)
		}
		want, err := base64.StdEncoding.DecodeString(theirs.Crop)
		if err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(theirs.File)
		limits := DefaultLimits()
		limits.MaxCPU = time.Minute // the machine may be slow today; time is not what is tested
		picture, refusal := prepareWithin(t, limits, data, Options{})
		if refusal != nil || !bytes.Equal(picture.RGB, want) {
			differ++
			t.Errorf("file %d (%s): not Pillow's crop (%v)", n, theirs.Mode, refusal)
		}
	}
	t.Logf("%d files, %d differ from Pillow", count, differ)
}
