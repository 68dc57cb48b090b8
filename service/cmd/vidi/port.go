package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portOwner names the program that listens on a TCP port of this machine: "python3 (pid 4711)". It reads Linux's /proc,
// which shows the processes of other users only to root; elsewhere, and for those, it is "another program".
func portOwner(port string) string {
	const unknown = "another program"
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return unknown
	}
	sockets := listeningSockets(uint16(number))
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

// listeningSockets are the sockets listening on the port, as links in /proc/PID/fd name them: "socket:[123]".
func listeningSockets(port uint16) map[string]bool {
	const listening = "0A"
	sockets := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// sl, local address as HEX:PORT, remote address, state, queues, timer, retransmissions, user, timeout, inode
			cell := strings.Fields(lines.Text())
			if len(cell) > 9 && cell[3] == listening && strings.HasSuffix(cell[1], fmt.Sprintf(":%04X", port)) {
				sockets["socket:["+cell[9]+"]"] = true
			}
		}
		f.Close()
	}
	return sockets
}

// nextPort is one to suggest instead.
func nextPort(port string) string {
	number, err := strconv.Atoi(port)
	if err != nil || number < 1024 || number > 65525 {
		return "5010"
	}
	return strconv.Itoa(number + 10) // the next ones may be the other port's of this server, or of another
}
