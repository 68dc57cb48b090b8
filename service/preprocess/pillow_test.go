package preprocess

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/codec"
)

// pillowAnswer is a line of testdata/pillow.py.
type pillowAnswer struct {
	File, Format, Mode, Error string
	Width, Height             int
	SHA256, Crop              string
}

// notAsked are files that hold Pillow for minutes, where no alarm reaches it.
var notAsked = []string{"bombs/pg1000.jpg", "bombs/pg3000.jpg"}

// TestPillow wants every picture of the corpus that Pillow opens, in a format that is read here, to be prepared with Pillow's
// pixels: those of the whole picture, and those of the model's input, to the last bit. Each exception stands, with its reason,
// in testdata/pillow_exceptions.tsv; a row there that is no longer needed is an error too.
func TestPillow(t *testing.T) {
	table := readExceptions(t)
	differs := map[string]string{} // file: ours, tab, Pillow's
	counts := map[string]int{}
	for _, theirs := range askPillow(t) {
		if !slices.Contains([]string{"JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF"}, theirs.Format) {
			counts["not for us"]++
			continue
		}
		ours := compareWithPillow(t, corpusFile(t, theirs.File), theirs)
		if ours == "" {
			counts["identical "+theirs.Format]++
			continue
		}
		counts["exceptions"]++
		differs[theirs.File] = fmt.Sprintf("%s\t%s %s %d × %d", ours, theirs.Format, theirs.Mode, theirs.Width, theirs.Height)
	}
	t.Logf("%v", counts)
	for file, difference := range differs {
		switch row, listed := table[file]; {
		case !listed:
			t.Errorf("not in the table of exceptions:\n%s\t%s\t(reason)", file, difference)
		case row != difference:
			t.Errorf("the table of exceptions has\n%s\t%s\nbut it is\n%s\t%s", file, row, file, difference)
		}
	}
	for file := range table {
		if _, found := differs[file]; !found {
			t.Errorf("%s is in the table of exceptions, and is none", file)
		}
	}
}

// compareWithPillow is "" where everything is the same, and otherwise our side of the difference.
func compareWithPillow(t *testing.T, data []byte, theirs pillowAnswer) string {
	picture, refusal := prepare(t, data, Options{})
	if refusal != nil {
		return string(refusal.Code)
	}
	if picture.Width != theirs.Width || picture.Height != theirs.Height {
		return fmt.Sprintf("%d × %d", picture.Width, picture.Height)
	}
	if pixelSum(t, data) != theirs.SHA256 {
		return "other pixels"
	}
	crop, err := base64.StdEncoding.DecodeString(theirs.Crop)
	if err != nil {
		t.Fatal(err)
	}
	// Pillow resizes whole pictures, which for thin ones is more than it is asked for here: then there is no crop.
	if len(crop) > 0 && !bytes.Equal(crop, picture.RGB) {
		return "another crop"
	}
	return ""
}

// pixelSum is the SHA-256 of the upright picture's RGB, before it is resized.
func pixelSum(t *testing.T, data []byte) string {
	h, err := readHeader(data, imagenet, Options{}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	turn := readOrientation(h.format, data)
	if h.stream != nil { // there never is a whole picture, but one that is resized to its own size is the same
		width, height := turn.size(h.width, h.height)
		rgb := make([]byte, 3*width*height)
		_, _, err := h.stream(data, codec.Resize{
			Width: width, Height: height, Crop: image.Rect(0, 0, width, height), Filter: codec.Bilinear, Orientation: int(turn),
		}, rgb)
		if err != nil {
			return err.Error()
		}
		sum := sha256.Sum256(rgb)
		return hex.EncodeToString(sum[:])
	}
	pixels, _, err := decode(h, data, DefaultLimits())
	if err != nil {
		return err.Error()
	}
	pixels = turn.apply(pixels)
	sum := sha256.New()
	row := make([]byte, 3*pixels.Rect.Dx())
	for y := range pixels.Rect.Dy() {
		line := pixels.Pix[y*pixels.Stride:]
		for x := range pixels.Rect.Dx() {
			copy(row[3*x:], line[4*x:4*x+3])
		}
		sum.Write(row)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// pillowPython is a Python with Pillow 9.4, with which the exceptions were reviewed.
func pillowPython(t *testing.T) string {
	t.Helper()
	const python = "/usr/bin/python3"
	version, err := exec.Command(python, "-c", "import PIL; print(PIL.__version__)").Output()
	if err != nil || !strings.HasPrefix(string(version), "9.4.") {
		missing(t, "Pillow 9.4, with which the exceptions were reviewed, is not installed (python3-pil)")
	}
	return python
}

// askPillow is Pillow's answers for the corpus.
func askPillow(t *testing.T) []pillowAnswer {
	t.Helper()
	root := corpus(t)
	var names []string
	for _, name := range corpusFiles(t) {
		if !slices.Contains(notAsked, name) {
			names = append(names, filepath.Join(root, name))
		}
	}
	answers := askPillowAbout(t, names)
	for i := range answers {
		answers[i].File, _ = filepath.Rel(root, answers[i].File)
	}
	return answers
}

// askPillowAbout runs one Python process over the files.
func askPillowAbout(t *testing.T, files []string) []pillowAnswer {
	t.Helper()
	cmd := exec.Command(pillowPython(t), "testdata/pillow.py")
	cmd.Stdin = strings.NewReader(strings.Join(files, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers []pillowAnswer
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a pillowAnswer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		answers = append(answers, a)
	}
	if len(answers) != len(files) {
		t.Fatalf("%d answers for %d files", len(answers), len(files))
	}
	return answers
}

// readExceptions reads the table: file, our answer, Pillow's, and the reason, which must be there.
func readExceptions(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/pillow_exceptions.tsv")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(line, "\t")
		if len(columns) != 4 || columns[3] == "" {
			t.Fatalf("a row needs a file, two answers and a reason: %q", line)
		}
		table[columns[0]] = columns[1] + "\t" + columns[2]
	}
	return table
}
