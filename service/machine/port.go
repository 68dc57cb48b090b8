package machine

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/vidi-vision/vidi/service/connections"
)

// PortOwner names the program that listens on a TCP port of this machine: "python3 (pid 4711)". It reads Linux's /proc,
// which shows the processes of other users only to root; elsewhere, and for those, it is "another program".
func PortOwner(port string) string {
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

// ListenError says who has the port that could not be opened, and what to do: choose another one with
// that flag.
func ListenError(flag, addr string, err error) error {
	host, port, _ := net.SplitHostPort(addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		other := net.JoinHostPort(host, nextPort(port))
		if flag == "--admin-addr" {
			return fmt.Errorf(`port %s, which operators would use, is already in use by %s; choose another with --admin-addr %s, or do without by --admin-addr ""`,
				port, PortOwner(port), other)
		}
		return fmt.Errorf("port %s is already in use by %s; choose another with --addr %s", port, PortOwner(port), other)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("port %s may not be opened without privileges; choose one above 1023 with %s %s", port, flag, net.JoinHostPort(host, nextPort(port)))
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}

// OpenFiles is how many files, connections included, this process may have open; 0 is unknown.
func OpenFiles() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Cur // Go has raised it to the hard limit
}
