package connections

import (
	"net"
	"net/netip"
)

// ClientOf is the client that an address and port stand for: the IP address, or of IPv6 its /64,
// which is what one subscriber gets at least. What is no address stands for itself.
func ClientOf(remote string) string {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	prefix := network(address.Addr())
	if prefix.IsSingleIP() {
		return prefix.Addr().String()
	}
	return prefix.String()
}

// networkOf is what counts as one address of a connection's other end: the same for all that have
// none.
func networkOf(remote net.Addr) netip.Prefix {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return network(tcp.AddrPort().Addr())
}

func network(address netip.Addr) netip.Prefix {
	address = address.Unmap().WithZone("")
	prefix, _ := address.Prefix(min(address.BitLen(), 64))
	return prefix
}
