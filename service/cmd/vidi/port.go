package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vidi-vision/vidi/service/connections"
)

// portOwner names the program that listens on a TCP port of this machine: "python3 (pid 4711)". It reads Linux's /proc,
// which shows the processes of other users only to root; elsewhere, and for those, it is "another program".
func portOwner(port string) string {
	const unknown = "another program"
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return unknown
	}
	sockets := map[string]bool{}
	for _, l := range connections.ListeningAt(uint16(number)) {
		sockets["socket:["+l.Inode+"]"] = true
	}
	if len(sockets) == 0 {
		return unknown
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !sockets[target] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue
		}
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
	}
	return unknown
}

// nextPort is one to suggest instead.
func nextPort(port string) string {
	number, err := strconv.Atoi(port)
	if err != nil || number < 1024 || number > 65525 {
		return "5010"
	}
	return strconv.Itoa(number + 10) // the next ones may be the other port's of this server, or of another
}
