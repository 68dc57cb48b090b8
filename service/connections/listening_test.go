package connections

import (
	"net"
	"net/netip"
	"os"
	"testing"
)

func TestOwnerOf(t *testing.T) {
	addresses, hosts := []string{"127.0.0.1:0", "0.0.0.0:0", ":0"}, []string{"127.0.0.1"}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
		addresses, hosts = append(addresses, "[::1]:0"), append(hosts, "::1")
	} else {
		t.Logf("without IPv6: %v", err)
	}
	for _, addr := range addresses {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		port := l.Addr().(*net.TCPAddr).AddrPort().Port()
		for _, at := range hosts {
			uid, ok := OwnerOf(netip.AddrPortFrom(netip.MustParseAddr(at), port))
			all := addr == ":0" || addr == "0.0.0.0:0" // Go takes both kinds for either
			want := all || addr == net.JoinHostPort(at, "0")
			if ok != want || ok && uid != os.Getuid() {
				t.Errorf("%s listens, %s: user %d, %v; want %v", addr, at, uid, ok, want)
			}
		}
		l.Close()
		if found := ListeningAt(port); len(found) != 0 {
			t.Errorf("after the end: %v", found)
		}
	}
	if at, ok := procAddress("0100007F:1F90"); !ok || at.String() != "127.0.0.1:8080" {
		t.Errorf("%v %v", at, ok)
	}
}
