package e2e

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// pngThatGoesOn is a PNG of 64 × 64 pixels with nearly 20 MB of data, which inflates to 20 GB after the last row.
func pngThatGoesOn() []byte {
	packed := func(zeros int) []byte {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, flate.BestCompression)
		_, _ = w.Write(make([]byte, zeros))
		_ = w.Flush()
		return b.Bytes()
	}
	var file []byte
	chunk := func(name string, body []byte) {
		at := len(file)
		file = append(append(binary.BigEndian.AppendUint32(file, uint32(len(body))), name...), body...)
		file = binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(file[at+4:]))
	}
	file = append(file, "\x89PNG\r\n\x1a\n"...)
	chunk("IHDR", []byte{0, 0, 0, 64, 0, 0, 0, 64, 8, 2, 0, 0, 0})
	part := packed(64 << 20)
	chunk("IDAT", append(append([]byte{0x78, 0x01}, packed(64*(1+3*64))...), bytes.Repeat(part, 20<<20/len(part)-1)...))
	chunk("IEND", nil)
	return file
}

// Row R1: two such PNGs at a time, which would keep both workers busy for 48 s, and another client beside them.
func TestPNGsThatGoOnDelayNobody(t *testing.T) {
	s := start(t, lite0, "--workers=2").ready(t)
	photo := read(t, torchtest.File(t, "examples/cat.png"))
	other := newClient()
	defer other.CloseIdleConnections()
	median := func() time.Duration {
		var took []time.Duration
		for range 15 {
			begun := time.Now()
			if code, _, err := other.predict(s.url, photo); code != http.StatusOK {
				t.Fatalf("the other client got %d, %v", code, err)
			}
			took = append(took, time.Since(begun))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	usual := median()

	attack := pngThatGoesOn()
	before := s.cpu(t)
	if code, answer := s.post(t, "image/png", attack); code != http.StatusOK {
		t.Errorf("%d %s, want 200: all rows are there", code, answer)
	}
	alone := s.cpu(t) - before
	if alone > time.Second {
		t.Errorf("one took %v of CPU time, upload and answer included", alone)
	}

	stop := make(chan struct{})
	var attackers sync.WaitGroup
	for range 2 {
		attackers.Go(func() {
			c := newClient()
			defer c.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code, _, err := c.predict(s.url, attack); code != http.StatusOK && code != http.StatusTooManyRequests {
					t.Errorf("an attacker got %d, %v", code, err)
					return
				}
			}
		})
	}
	beside := median()
	close(stop)
	attackers.Wait()
	t.Logf("R1: one costs %v of CPU time; the other client waits %v beside two at a time, usually %v", alone, beside, usual)
	// Both cores are taken by uploads of 20 MB without a pause, so twice is not to be had for certain on a machine that is shared.
	if limit := max(4*usual, usual+time.Second); beside > limit {
		t.Errorf("the other client waited %v, more than %v", beside, limit)
	}
}
