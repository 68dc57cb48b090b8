package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/preprocess"
)

func parse(t *testing.T, args ...string) (Serve, error) {
	t.Helper()
	var cli struct {
		Serve struct{ Serve } `cmd:""`
	}
	parser, err := kong.New(&cli, kong.Vars{"models": "/models"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"serve"}, args...))
	return cli.Serve.Serve, err
}

func TestDefaults(t *testing.T) {
	s, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if s.Addr != "127.0.0.1:5000" || s.AdminAddr != "127.0.0.1:5001" || s.Keys != "" || len(s.CORSOrigin) != 0 || s.MaxBody.N != 20<<20 || s.MaxImages.N != 64 || s.Grace.D != 25*time.Second || s.Models != "/models" {
		t.Errorf("defaults are %+v", s)
	}
	if got := s.Limits(); got != preprocess.DefaultLimits() {
		t.Errorf("limits are %+v, want preprocess's defaults %+v", got, preprocess.DefaultLimits())
	}
}

func TestEnvironmentSetsEveryFlag(t *testing.T) {
	t.Setenv("VIDI_ADDR", "0.0.0.0:80")
	t.Setenv("VIDI_MAX_BODY", "3MB")
	t.Setenv("VIDI_NO_EXIF", "true")
	t.Setenv("VIDI_DECODE_TIME", "1500ms")
	t.Setenv("VIDI_MODEL", "lite0,pets@2,lite0")
	t.Setenv("VIDI_ADMIN_ADDR", "")
	t.Setenv("VIDI_KEYS", "keys.txt")
	t.Setenv("VIDI_CORS_ORIGIN", "https://a.example,http://b.example:8080")
	s, err := parse(t, "--max-pixels=12M")
	if err != nil {
		t.Fatal(err)
	}
	if s.Addr != "0.0.0.0:80" || s.MaxBody.N != 3_000_000 || !s.NoExif || s.DecodeTime.D != 1500*time.Millisecond ||
		s.AdminAddr != "" || s.Keys != "keys.txt" || len(s.CORSOrigin) != 2 || s.MaxPixels.N != 12_000_000 || !slices.Equal(s.ModelNames(), []string{"lite0", "pets@2"}) {
		t.Errorf("got %+v", s)
	}
}

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	_, err := parse(t, "--addr=5000", "--admin-addr=5001", "--cors-origin=https://a.example/", "--model=a,,b", "--model-memory=lots", "--precision=fp16", "--decode=quick", "--workers=many",
		"--max-body=huge", "--max-pixels=1.5", "--max-images=0", "--decode-time=2", "--decode-memory=1", "--grace=-1s",
		"--log-format=xml", "--log-level=loud",
		"--traces=http://127.0.0.1:4318/v1/traces", "--traces-share=NaN")
	if err == nil {
		t.Fatal("no error")
	}
	for _, flag := range []string{"addr", "admin-addr", "cors-origin", "model", "model-memory", "precision", "decode", "workers", "max-body", "max-pixels", "max-images",
		"decode-time", "decode-memory", "grace", "log-format", "log-level", "traces", "traces-share"} {
		if strings.Count(err.Error(), "\n  --"+flag+" (or VIDI_") != 1 {
			t.Errorf("--%s is not reported exactly once in:\n%v", flag, err)
		}
	}
}

func TestOnePortCannotBeBoth(t *testing.T) {
	for _, c := range []struct {
		addr, admin string
		fits        bool
	}{
		{"127.0.0.1:5001", "127.0.0.1:5001", false},
		{"0.0.0.0:5001", "127.0.0.1:5001", false},
		{"127.0.0.1:5001", ":5001", false},
		{"127.0.0.1:5001", "127.0.0.2:5001", true},
		{"127.0.0.1:0", "127.0.0.1:0", true},
		{"127.0.0.1:5001", "", true},
		{"0.0.0.0:5000", "127.0.0.1:5001", true},
	} {
		_, err := parse(t, "--addr", c.addr, "--admin-addr="+c.admin)
		if (err == nil) != c.fits {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestSeveralModelsAreServedInTheirOrder(t *testing.T) {
	s, err := parse(t, "--model=b", "--model=a@2", "--model=b")
	if err != nil || !slices.Equal(s.ModelNames(), []string{"b", "a@2"}) {
		t.Errorf("got %q, %v", s.ModelNames(), err)
	}
	if s, _ := parse(t); !slices.Equal(s.ModelNames(), []string{""}) || s.ModelMemory.Given {
		t.Errorf("without the flags: %q, %+v", s.ModelNames(), s.ModelMemory)
	}
	if s, _ := parse(t, "--model-memory=0"); !s.ModelMemory.Given || s.ModelMemory.N != 0 {
		t.Errorf("no limit: %+v", s.ModelMemory)
	}
}

func TestValues(t *testing.T) {
	for text, want := range map[string]int64{"20MiB": 20 << 20, "20 MB": 20_000_000, "1024": 1024, "1GiB": 1 << 30} {
		var b Bytes
		if b.UnmarshalText([]byte(text)); b.mistake != nil || b.N != want {
			t.Errorf("Bytes %q is %d (%v), want %d", text, b.N, b.mistake, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "1 apple", "99999999999999999999"} {
		var b Bytes
		if b.UnmarshalText([]byte(text)); b.between(0, 1<<40) == nil {
			t.Errorf("Bytes %q was taken as %d", text, b.N)
		}
	}
	for text, want := range map[string]int64{"0": 0, "50M": 50_000_000, "64": 64, "2k": 2000} {
		var c Count
		if c.UnmarshalText([]byte(text)); c.mistake != nil || c.N != want {
			t.Errorf("Count %q is %d (%v), want %d", text, c.N, c.mistake, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5", "50m", "5 apples", "1e300", "NaN"} {
		var c Count
		if c.UnmarshalText([]byte(text)); c.between(0, 1<<40) == nil {
			t.Errorf("Count %q was taken as %d", text, c.N)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:5000": true, "localhost:5000": true, "[::1]:5000": true, "127.9.9.9:1": true,
		"0.0.0.0:5000": false, ":5000": false, "[::]:5000": false, "192.168.1.2:5000": false, "example.org:80": false, "junk": false,
	} {
		if Loopback(address) != want {
			t.Errorf("Loopback(%q) is %v", address, !want)
		}
	}
}

// FuzzValues: whatever is typed is a value within its bounds, or a mistake that is said.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{"20MiB", "1e3", "50M", "-1", "1m30s", "NaN", "9999999999999999999", "0x10", "1 Gib", "µ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var size Bytes
		var count Count
		var length Duration
		if size.UnmarshalText([]byte(text)) != nil || count.UnmarshalText([]byte(text)) != nil || length.UnmarshalText([]byte(text)) != nil {
			t.Error("a mistake was not kept for Validate")
		}
		if size.between(1, 100) == nil && (size.N < 1 || size.N > 100) {
			t.Errorf("%q is a size of %d", text, size.N)
		}
		if count.between(1, 100) == nil && (count.N < 1 || count.N > 100) {
			t.Errorf("%q is %d", text, count.N)
		}
		if length.between(1, 100) == nil && (length.D < 1 || length.D > 100) {
			t.Errorf("%q is %v", text, length.D)
		}
	})
}

// The default is what an eighth of the memory holds, within bounds; what the operator says has precedence.
func TestConnectionsByMemory(t *testing.T) {
	for _, c := range []struct {
		flag   string
		memory int64
		want   int
	}{
		{"0", 0, 500}, {"0", 256 << 20, 500}, {"0", 2 << 30, 2730}, {"0", 64 << 30, 10_000}, {"20000", 1 << 30, 20_000},
	} {
		s, err := parse(t, "--max-connections="+c.flag)
		if err != nil {
			t.Fatal(err)
		}
		var files unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
			t.Fatal(err)
		}
		if got := s.Connections(c.memory); got != c.want && got != int(files.Cur)-otherFiles() {
			t.Errorf("--max-connections %s and %d MiB: %d, want %d", c.flag, c.memory>>20, got, c.want)
		}
	}
}
