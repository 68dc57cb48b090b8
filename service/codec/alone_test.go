package codec_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// decodeOnly has the test binary decode a picture, and print what it has mapped.
const decodeOnly = "VIDI_CODEC_ALONE"

func TestMain(m *testing.M) {
	if os.Getenv(decodeOnly) == "" {
		os.Exit(m.Run())
	}
	data, err := os.ReadFile(os.Getenv(decodeOnly))
	if err == nil {
		_, err = codec.ResizeJPEG(data, codec.JPEGOptions{}, middle(1), make([]byte, 22*22*3))
	}
	maps, _ := os.ReadFile("/proc/self/maps")
	os.Stdout.Write(maps)
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
}

// A process that only decodes has the image library and nothing of libtorch, even where no shim lies.
func TestDecodingNeedsNoLibtorch(t *testing.T) {
	picture := filepath.Join(t.TempDir(), "picture.jpg")
	must(t, os.WriteFile(picture, jpegOf(t, gradient(123, 77)), 0o600))
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), decodeOnly+"="+picture, "VIDI_TORCHBIND_LIBRARY=/none")
	var complaint strings.Builder
	child.Stderr = &complaint
	maps, err := child.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	if !strings.Contains(string(maps), "libvidiimage.so") || !strings.Contains(string(maps), "libjpeg") {
		t.Errorf("the image library is not mapped:\n%s", maps)
	}
	for _, other := range []string{"torch", "libc10", "gomp"} {
		for line := range strings.Lines(string(maps)) {
			if path := filepath.Base(strings.TrimSpace(line)); strings.Contains(path, other) && strings.Contains(path, ".so") {
				t.Errorf("%s is mapped", path)
			}
		}
	}
}

// The library itself names none either.
func TestTheLibraryIsLinkedToNoLibtorch(t *testing.T) {
	out, err := exec.Command("ldd", torchtest.File(t, "bin/lib/libvidiimage.so")).Output()
	must(t, err)
	for _, other := range []string{"torch", "libc10", "gomp"} {
		if strings.Contains(string(out), other) {
			t.Errorf("it needs %s:\n%s", other, out)
		}
	}
}
