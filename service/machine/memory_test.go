package machine

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheLeastLimitOfAllGroupsCounts(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"a.slice/memory.max": "2147483648\n", "a.slice/vidi.service/memory.max": "max\n",
		"b.slice/memory.max": "4294967296", "b.slice/vidi.service/memory.max": "1073741824\n",
		"memory/docker/1a2b/memory.limit_in_bytes": "536870912\n", "memory/memory.limit_in_bytes": "9223372036854771712\n",
		"odd/memory.max": "many",
	} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for own, want := range map[string]int64{
		"0::/a.slice/vidi.service\n":                           2 << 30, // the group's own is none, the slice's is not
		"0::/b.slice/vidi.service\n":                           1 << 30,
		"12:cpu,cpuacct:/x\n4:memory:/docker/1a2b\n0::/none\n": 512 << 20,
		"4:memory:/\n":                                         0, // version 1 spells "none" as a huge number
		"0::/\n":                                               0,
		"0::/odd\n":                                            0,
		"0::/../../b.slice/vidi.service\n":                     1 << 30, // seen from inside of another namespace
		"nonsense\n":                                           0,
		"":                                                     0,
	} {
		if got := groupLimit(root, own); got != want {
			t.Errorf("%q: %d, want %d", own, got, want)
		}
	}
}

func TestAvailableMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(file, []byte("MemTotal:       16384000 kB\nMemFree:         1 kB\nMemAvailable:    2048000 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := availableMemory(file); got != 2048000<<10 {
		t.Errorf("%d", got)
	}
	if got := availableMemory(file + ".none"); got != 0 {
		t.Errorf("no file: %d", got)
	}
}

func TestPortsToTry(t *testing.T) {
	for port, want := range map[string]string{"5000": "5010", "5001": "5011", "80": "5010", "65535": "5010", "x": "5010"} {
		if got := nextPort(port); got != want {
			t.Errorf("%s: %s", port, got)
		}
	}
}
