package machine

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// inside are the beginnings of the names of networks that lie within a machine, for containers
// and virtual machines.
var inside = []string{"docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "lxc", "lxd"}

// Addresses are the addresses at which other machines find what listens on every address of
// this one, at most eight, IPv4 first. Where it listens on certain addresses only there are none
// to add.
func Addresses(listening net.Addr) []string {
	at, ok := listening.(*net.TCPAddr)
	if !ok || !at.IP.IsUnspecified() {
		return nil
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil // it was a courtesy
	}
	var four, six []string
	for _, network := range interfaces {
		up := network.Flags&net.FlagUp != 0 && network.Flags&net.FlagLoopback == 0
		if !up || liesInside(network.Name) {
			continue
		}
		addresses, err := network.Addrs()
		if err != nil {
			continue
		}
		for _, address := range addresses {
			prefix, err := netip.ParsePrefix(address.String())
			if ip := prefix.Addr(); err == nil && !ip.IsLinkLocalUnicast() && !ip.IsLoopback() {
				url := "http://" + net.JoinHostPort(ip.String(), strconv.Itoa(at.Port))
				if ip.Is4() {
					four = append(four, url)
				} else if at.IP.To4() == nil { // it listens for IPv6, too
					six = append(six, url)
				}
			}
		}
	}
	all := append(four, six...)
	return all[:min(len(all), 8)]
}

func liesInside(name string) bool {
	for _, beginning := range inside {
		if strings.HasPrefix(name, beginning) {
			return true
		}
	}
	return false
}
