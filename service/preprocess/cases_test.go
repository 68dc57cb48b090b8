package preprocess

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCases are pictures that once had a wrong answer, from the folder that VIDI_SHARED names: with
// Pillow's crop where they are read, and else with the code and a word of the advice.
func TestCases(t *testing.T) {
	folder := filepath.Join(filepath.Dir(corpus(t)), "cases", "images")
	notes := map[string]string{ // "" for Pillow's crop and nothing to say
		"jpeg_skip_1080x4000_444.jpg": "",
		"exif6_make_type0.jpg":        "low_resolution",
		"ex_zero_entry_first.jpg":     "low_resolution",
		"exif6_zTXt_exif.png":         "",
		"eoi_replaced_zeros.jpg":      "damaged_image",
		"t_LA.tif":                    "low_resolution",
		"t_rgba_unspec.tif":           "low_resolution",
		"t_g3_2d.tif":                 "unsupported_variant: group 3",
		"t_g3_1d_fill.tif":            "unsupported_variant: group 3",
		"m_utf8ed.jpg":                "unsupported_format: as bytes",
	}
	for name, note := range notes {
		path := filepath.Join(folder, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		picture, refusal := prepare(t, data, Options{})
		if code, advice, refused := strings.Cut(note, ": "); refused {
			if refusal == nil || string(refusal.Code) != code || !strings.Contains(refusal.Detail, advice) {
				t.Errorf("%s: %v, want %s", name, refusal, note)
			}
			continue
		}
		if refusal != nil {
			t.Errorf("%s: %v", name, refusal)
			continue
		}
		if note == "damaged_image" && !slices.Contains(picture.Warnings, DamagedImage) {
			t.Errorf("%s: warnings %v, want %s", name, picture.Warnings, note)
		}
		theirs := askPillowAbout(t, []string{path})[0]
		want, err := base64.StdEncoding.DecodeString(theirs.Crop)
		if err != nil {
			t.Fatal(err)
		}
		if theirs.Width != picture.Width || theirs.Height != picture.Height || !bytes.Equal(want, picture.RGB) {
			t.Errorf("%s: %d × %d, not Pillow's crop of %d × %d", name, picture.Width, picture.Height, theirs.Width, theirs.Height)
		}
	}
	// Browsers show it as opaque, Pillow as transparent.
	data, err := os.ReadFile(filepath.Join(folder, "b32_v5_alpha_all0.bmp"))
	if err != nil {
		t.Fatal(err)
	}
	if p := expect(t, data, ok); p != nil && !slices.ContainsFunc(p.RGB, func(v byte) bool { return v < 128 }) {
		t.Error("b32_v5_alpha_all0.bmp is white")
	}
}
