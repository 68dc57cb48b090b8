package machine

import (
	"net"
	"strings"
	"testing"
	"time"
)

// What is printed for a listener on every address is an address that it answers at; others have nothing to print.
func TestAddresses(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		found := Addresses(l.Addr())
		if len(found) > 8 {
			t.Errorf("%d addresses", len(found))
		}
		for _, url := range found {
			if strings.Contains(url, "0.0.0.0") || strings.Contains(url, "127.0.0.1") || strings.Contains(url, "::1]") {
				t.Errorf("%s is no address for another machine", url)
			}
			conn, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "http://"), 5*time.Second)
			if err != nil {
				t.Errorf("%s: %v", url, err)
				continue
			}
			conn.Close()
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if found := Addresses(l.Addr()); found != nil {
		t.Errorf("for this machine alone: %v", found)
	}
}
