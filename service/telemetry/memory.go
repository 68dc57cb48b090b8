package telemetry

import (
	"bytes"
	"os"
	"strconv"
)

// ResidentBytes is the memory this process has, libtorch's included, as Linux's /proc says; 0 where there is none.
func ResidentBytes() int64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
