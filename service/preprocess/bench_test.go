package preprocess

import (
	"bytes"
	"context"
	"fmt"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/disintegration/imaging"
	"golang.org/x/sys/unix"
)

// BenchmarkJPEG takes a photograph from bytes to the network's 224 × 224 pixels:
//
//	go test -run '^$' -bench JPEG -benchmem ./service/preprocess
//
// VIDI_BENCH_PICTURES names a folder to write the pictures to, so that others can be timed with the same ones.
func BenchmarkJPEG(b *testing.B) {
	p, err := New(DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	prepare(b, photograph(b, 64, 64), Options{}) // libtorch is opened
	for _, c := range []struct {
		width, height int
		turn          orientation
	}{{376, 263, 1}, {1920, 1440, 1}, {4032, 3024, 1}, {376, 263, 6}, {4032, 3024, 6}} {
		data := photograph(b, c.width, c.height)
		name := fmt.Sprintf("%dx%d", c.width, c.height)
		if c.turn != 1 {
			data = jpegWithEXIF(data, exifTurn(c.turn))
			name += fmt.Sprintf("-turn%d", c.turn)
		}
		if folder := os.Getenv("VIDI_BENCH_PICTURES"); folder != "" {
			if err := os.WriteFile(filepath.Join(folder, name+".jpg"), data, 0o644); err != nil {
				b.Fatal(err)
			}
		}
		for _, decode := range []Decode{Exact, Fast} {
			b.Run(name+"/"+string(decode), func(b *testing.B) {
				b.ReportAllocs()
				resizing, n := 0.0, 0
				start := processCPU(b)
				for b.Loop() {
					picture, err := p.Prepare(context.Background(), data, imagenet, Options{Decode: decode})
					if err != nil {
						b.Fatal(err)
					}
					resizing += float64(picture.ResizeTime)
					n++
				}
				// What else runs on the machine hardly matters to this one. The garbage collector's share is in it.
				b.ReportMetric(float64(processCPU(b)-start)/1e6/float64(n), "cpu-ms/op")
				b.ReportMetric(resizing/1e6/float64(n), "resize-ms/op")
			})
		}
	}
}

// processCPU is the CPU time of the process so far, in nanoseconds.
func processCPU(b *testing.B) int64 {
	b.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
}

// photograph is a sample photograph as a JPEG of this size, with halved chroma as cameras write it.
func photograph(b *testing.B, width, height int) []byte {
	b.Helper()
	file, err := os.Open("../../examples/motorcycle.png")
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	img, err := png.Decode(file)
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, imaging.Resize(img, width, height, imaging.Lanczos), &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}
