package imports

import (
	"encoding/binary"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/filetest"
	"github.com/vidi-vision/vidi/service/model"
)

// Configurations whose brackets lie in each other a million times, and files that would cost far more to read than to write: each is
// an error, soon, and none ends the process.
func TestNestedConfigurations(t *testing.T) {
	// A stack of this size holds what any parser needs here, and not one call for each bracket.
	defer debug.SetMaxStack(debug.SetMaxStack(64 << 20))
	const most = maxConfigBytes - 1
	nested := func(text string) string { return strings.Repeat(text, most/len(text)) }
	// Names within names: 10,000 deep is the most that Go's JSON takes, and each level was read anew.
	within := strings.Repeat(`{"id2label":`, 9_000) + `"` + strings.Repeat("x", 8<<20) + `"` + strings.Repeat("}", 9_000)
	header := nested("[")
	safetensors := string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header
	for name, path := range map[string]string{
		"Triton, braces":         folder(t, "t", map[string]string{"1/model.pt": tiny, "config.pbtxt": nested("a{")}),
		"Triton, angle brackets": folder(t, "t", map[string]string{"1/model.pt": tiny, "config.pbtxt": nested("a<")}),
		"Triton, lists":          folder(t, "t", map[string]string{"1/model.pt": tiny, "config.pbtxt": nested("a:[{")}),
		"Triton, known fields":   folder(t, "t", map[string]string{"1/model.pt": tiny, "config.pbtxt": nested("input{")}),
		"Triton, comments":       folder(t, "t", map[string]string{"1/model.pt": tiny, "config.pbtxt": nested("a{#}\n")}),
		"config.json, lists":     folder(t, "h", map[string]string{"model.pt": tiny, "config.json": nested("[")}),
		"config.json, objects":   folder(t, "h", map[string]string{"model.pt": tiny, "config.json": nested(`{"a":`)}),
		"config.json, id2label":  folder(t, "h", map[string]string{"model.pt": tiny, "config.json": within}),
		"timm, label_names":      folder(t, "h", map[string]string{"model.pt": tiny, "config.json": `{"architecture":"a","pretrained_cfg":{},"label_names":` + nested("[")[:most-99]}),
		"preprocessor":           folder(t, "h", map[string]string{"model.pt": tiny, "config.json": "{}", "preprocessor_config.json": nested(`{"size":`)}),
		"MAR manifest":           archive(t, map[string]string{marManifest: nested("["), "pets.pt": tiny}),
		"MAR labels":             archive(t, map[string]string{marManifest: manifest, "pets.pt": tiny, "index_to_name.json": nested(`{"id2label":`)}),
		"an archive in another":  archive(t, map[string]string{marManifest: manifest, "pets.pt": filetest.Zip(t, map[string]string{"pets.pt": "PK\x03\x04"})}),
		"safetensors":            folder(t, "h", map[string]string{"model.safetensors": safetensors, "config.json": "{}"}),
	} {
		begun := time.Now()
		source, err := Open(path, t.TempDir())
		if err == nil {
			_, err = model.Inspect(source.File)
			source.Close()
		}
		// 16 MB are read and looked through in less than a second; the other is for busy machines.
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if err == nil || len(err.Error()) > 2000 {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}
