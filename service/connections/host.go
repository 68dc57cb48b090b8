package connections

import (
	"net"
	"strings"
)

// HostName is the name in a Host header, without the port, in lower case.
func HostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// Local reports whether name, from [HostName], is one that always leads to this machine. Others only do so if somebody who answers for
// them says so. No name at all (HTTP/1.0) comes from no browser.
func Local(name string) bool {
	ip := net.ParseIP(name)
	return name == "" || name == "localhost" || ip != nil && ip.IsLoopback()
}
