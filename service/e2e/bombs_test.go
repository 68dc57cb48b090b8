package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What bombs may cost: one alone, and all at once, over an idle server. The budget for decoding is the default, 1 GiB, and holds
// for the uploads, what the garbage collector has not taken yet, and libjpeg's memory, which Go does not see, as well.
const (
	oneBomb   = 600 << 20
	manyBombs = 1 << 30
	bombCPU   = 5 * time.Second // 2 s of decoding and the rest of the request, on cores that are shared
)

// solidWebP is a lossless WebP of one colour: 34 bytes of any size.
func solidWebP(width, height int) []byte {
	var bits []byte
	n := 0
	put := func(v uint32, count int) {
		for i := range count {
			if n%8 == 0 {
				bits = append(bits, 0)
			}
			bits[n/8] |= byte(v>>i&1) << (n % 8)
			n++
		}
	}
	put(0x2f, 8)
	put(uint32(width-1), 14)
	put(uint32(height-1), 14)
	put(0, 4+1+1+1)
	for _, symbol := range []uint32{100, 200, 50, 255, 0} { // a code of one symbol, which then takes no bits
		put(0b101, 3)
		put(symbol, 8)
	}
	if n = len(bits); n%2 == 1 {
		bits = append(bits, 0)
	}
	le32 := func(v int) string { return string([]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)}) }
	return []byte("RIFF" + le32(len(bits)+12) + "WEBPVP8L" + le32(n) + string(bits))
}

// bombs are small files that ask for much: as large as the limits allow, and larger.
func bombs(t *testing.T) map[string][]byte {
	const side = 7_000
	gray := image.NewGray(image.Rect(0, 0, side, side))
	var jpegData, gifData bytes.Buffer
	if err := jpeg.Encode(&jpegData, gray, nil); err != nil {
		t.Fatal(err)
	}
	if err := gif.Encode(&gifData, image.NewPaletted(gray.Rect, color.Palette{color.Black, color.White}), nil); err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{
		"WebP, 49 megapixels": solidWebP(side, side), "WebP, 33 megapixels": solidWebP(5_740, 5_740),
		"PNG": pngOf(t, side, side), "JPEG": jpegData.Bytes(), "GIF": gifData.Bytes(),
	}
	files, err := filepath.Glob(filepath.Join(shared(t, "hostile"), "bombs", "*"))
	if err != nil || len(files) < 15 {
		t.Fatalf("%d bombs (%v)", len(files), err)
	}
	for _, file := range files {
		all[filepath.Base(file)] = read(t, file)
	}
	return all
}

// resetPeak makes VmHWM the memory of now.
func (s *server) resetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// cpu is the time that the process has used.
func (s *server) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat := string(read(t, fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid)))
	field := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	user, _ := strconv.Atoi(field[11])
	system, _ := strconv.Atoi(field[12])
	return time.Duration(user+system) * (time.Second / 100) // USER_HZ, the same on every Linux
}

// T5 and T7: what one bomb costs, in memory over an idle server and in CPU time, the answer with all its parts.
func TestBombsOneByOne(t *testing.T) {
	g := guarded(t, startWithAdmin(t, lite0))
	s := g.s
	idle := s.memory(t, "VmRSS")
	var peak int64
	var longest time.Duration
	var largest, slowest string
	for name, data := range bombs(t) {
		g.wantAsBefore(t) // without the garbage of the last one
		s.resetPeak(t)
		before := s.cpu(t)
		code, answer := s.post(t, "application/octet-stream", data)
		if code != http.StatusOK && code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, code, answer)
		}
		if used := s.memory(t, "VmHWM") - idle; used > peak {
			peak, largest = used, name
		}
		if took := s.cpu(t) - before; took > longest {
			longest, slowest = took, name
		}
	}
	t.Logf("T5: at most %d MiB over an idle server, %s (bound %d)", peak>>20, largest, oneBomb>>20)
	t.Logf("T7: at most %v of CPU time, %s (bound %v)", longest, slowest, bombCPU)
	if peak > oneBomb || longest > bombCPU {
		t.Error("a bomb costs too much")
	}
}

// T6 and row A15: 64 bombs at once, each kind, then all kinds mixed. Each is answered with 200, refused with 422, or sent away with
// 429; the memory stays within the budget.
func TestBombsAtOnce(t *testing.T) {
	s := start(t, lite0, "--deadline=5m").ready(t)
	time.Sleep(time.Second)
	idle := s.memory(t, "VmRSS")
	all := bombs(t)
	salvo := func(name string, pick func(i int) []byte) {
		s.resetPeak(t)
		var mu sync.Mutex
		codes := map[int]int{}
		var clients sync.WaitGroup
		begun := time.Now()
		for i := range 64 {
			clients.Go(func() {
				c := newClient()
				c.Timeout = 5 * time.Minute
				defer c.CloseIdleConnections()
				code, _, err := c.predict(s.url, pick(i))
				if err != nil || code != http.StatusOK && code != http.StatusUnprocessableEntity && code != http.StatusTooManyRequests {
					t.Errorf("%s: %d, %v", name, code, err)
				}
				mu.Lock()
				codes[code]++
				mu.Unlock()
			})
		}
		clients.Wait()
		peak := s.memory(t, "VmHWM") - idle
		t.Logf("T6: 64 × %s: %v in %.1f s, at most %d MiB over an idle server (bound %d)", name, codes, time.Since(begun).Seconds(), peak>>20, manyBombs>>20)
		if peak > manyBombs {
			t.Errorf("%s: memory rose by %d MiB", name, peak>>20)
		}
	}
	alone := []string{"WebP, 49 megapixels"}
	if wholeCatalogue {
		alone = append(alone, "WebP, 33 megapixels", "PNG", "JPEG", "GIF", "jpg_cmyk.jpg", "jpg_prog.jpg", "tif_deflate.tif", "webp_lossy.webp")
	}
	for _, name := range alone {
		salvo(name, func(int) []byte { return all[name] })
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	salvo("all kinds", func(i int) []byte { return all[names[i%len(names)]] })
	if code, answer := s.post(t, "image/png", pngOf(t, 8, 8)); code != http.StatusOK {
		t.Errorf("a good picture afterwards: %d %s", code, answer)
	}
}
