// Package machine tells what this machine and this process have: memory, ports, descriptors, addresses.
package machine

import (
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
)

// Memory is how much there is, and who says so.
type Memory struct {
	Bytes  int64 // 0 is unknown
	Source string
}

// MemoryLimit is the least of what the machine had free when it was asked first, and what the control groups of this process allow.
// What is bounded by it goes by one figure, and not by what was free at different moments.
var MemoryLimit = sync.OnceValue(func() Memory {
	m := Memory{Bytes: availableMemory("/proc/meminfo"), Source: "the machine's free memory"}
	group, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return m
	}
	if limit := groupLimit("/sys/fs/cgroup", string(group)); limit > 0 && (m.Bytes == 0 || limit < m.Bytes) {
		m = Memory{Bytes: limit, Source: "the container's limit"}
	}
	return m
})

// availableMemory is what programs can still get without swapping.
func availableMemory(file string) int64 { return kernelBytes(file, "MemAvailable") }

// ProcessBytes is a line of this process's status, such as VmSize, VmRSS (the memory that it has), RssAnon
// (of that what no file backs) or VmHWM (the most that it has had); 0 where the kernel does not tell.
func ProcessBytes(line string) int64 { return kernelBytes("/proc/self/status", line) }

// kernelBytes is the line of that name, in kilobytes there, of a file of the kernel's.
func kernelBytes(file, name string) int64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// groupLimit is the least limit of the process's control group and those above it, 0 for none. own is /proc/self/cgroup:
// "0::/system.slice/vidi.service" in version 2, "4:memory:/docker/1a2b" among others in version 1.
func groupLimit(root, own string) int64 {
	least := int64(0)
	for line := range strings.Lines(own) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		folder, file := root, "memory.max"
		switch {
		case fields[0] == "0" && fields[1] == "":
		case fields[1] == "memory":
			folder, file = path.Join(root, "memory"), "memory.limit_in_bytes"
		default:
			continue
		}
		for at := path.Join("/", fields[2]); ; at = path.Dir(at) {
			if limit := limitIn(path.Join(folder, at, file)); limit > 0 && (least == 0 || limit < least) {
				least = limit
			}
			if at == "/" {
				break
			}
		}
	}
	return least
}

// limitIn is the limit that the file holds; 0 for none, which version 2 spells "max" and version 1 as a huge number.
func limitIn(file string) int64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil || limit > 1<<60 {
		return 0
	}
	return limit
}
