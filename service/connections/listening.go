package connections

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Listening is a TCP socket of this machine that takes connections.
type Listening struct {
	At    netip.AddrPort
	UID   int    // of the user who opened it
	Inode string // as in the links of /proc/PID/fd, "socket:[INODE]"
}

// ListeningAt are the sockets that listen on the port, as Linux's /proc tells.
func ListeningAt(port uint16) (found []Listening) {
	const listening = "0A"
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// sl, local address, remote address, state, queues, timer, retransmissions, user, timeout, inode
			cell := strings.Fields(lines.Text())
			if len(cell) < 10 || cell[3] != listening {
				continue
			}
			at, ok := procAddress(cell[1])
			uid, err := strconv.Atoi(cell[7])
			if ok && err == nil && at.Port() == port {
				found = append(found, Listening{At: at, UID: uid, Inode: cell[9]})
			}
		}
		f.Close()
	}
	return found
}

// procAddress reads an address as the kernel writes it: words of 32 bits in the machine's order.
func procAddress(text string) (netip.AddrPort, bool) {
	address, port, _ := strings.Cut(text, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	bytes, err := hex.DecodeString(address)
	if err != nil || len(bytes)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := bytes; len(word) > 0; word = word[4:] {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(bytes)
	return netip.AddrPortFrom(ip, uint16(number)), ok
}

// OwnerOf is the user whose socket takes connections to at; false where nobody's does.
func OwnerOf(at netip.AddrPort) (uid int, ok bool) {
	all := ListeningAt(at.Port())
	// The kernel lets nobody listen at an address beside another who has it, or all of its kind.
	for _, address := range []netip.Addr{at.Addr().Unmap(), unspecified(at.Addr()), netip.IPv6Unspecified()} {
		for _, l := range all {
			if l.At.Addr().Unmap() == address {
				return l.UID, true
			}
		}
	}
	return 0, false
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Unmap().Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
