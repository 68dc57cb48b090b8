package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/connections"
)

// Beside its port an operators' server has a UNIX socket, where the kernel says which user asks. An address does not: whatever a
// proxy on the machine passes on comes from 127.0.0.1. The socket is an abstract one, which is no file: the server may write
// none, and nothing is left behind when it ends.

// SocketName is the name of the socket beside the port at addr, HOST:PORT, with the @ that stands for an abstract one.
func SocketName(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "" || strings.EqualFold(host, "localhost") || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "@vidi/" + net.JoinHostPort(host, port)
}

// ListenSocket opens the socket beside the port at addr for this process's user and root; others are cut off.
func ListenSocket(addr string, log *slog.Logger) (net.Listener, error) {
	l, err := net.Listen("unix", SocketName(addr))
	if err != nil {
		return nil, err
	}
	return &socket{l, log}, nil
}

type socket struct {
	net.Listener
	log *slog.Logger
}

// Accept returns the next connection of somebody who may.
func (s *socket) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		// A process of another container, even its root, has the number 0 here.
		peer, err := peerOf(c)
		if err == nil && peer.Pid != 0 && (peer.Uid == 0 || int(peer.Uid) == os.Geteuid()) {
			return c, nil
		}
		if err == nil {
			s.log.Warn("admin connection refused: the socket is for this server's user and root", "uid", peer.Uid, "pid", peer.Pid)
		}
		c.Close()
	}
}

// ErrNoSocket is that no server on this machine has the socket that was asked for, or another user's has.
var ErrNoSocket = errors.New("there is no socket that this user may ask")

// DialSocket reaches the server on this machine whose port is at addr. Anybody can take a name that is free, so whose socket it is
// counts. Root believes a user who has the port as well; others are told [ErrNoSocket], unless it is their own: a server of another
// user would cut them off.
func DialSocket(ctx context.Context, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", SocketName(addr))
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil, ErrNoSocket
	}
	if err != nil {
		return nil, err
	}
	peer, err := peerOf(c)
	if err == nil {
		err = believe(int(peer.Uid), addr)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func believe(uid int, addr string) error {
	switch {
	case uid == os.Geteuid():
		return nil
	case os.Geteuid() != 0:
		return ErrNoSocket
	}
	name := strings.TrimPrefix(SocketName(addr), "@vidi/") // with an address instead of localhost
	at, err := netip.ParseAddrPort(name)
	if err != nil {
		return ErrNoSocket // the name of another machine
	}
	if owner, ok := connections.OwnerOf(at); !ok || owner != uid {
		return fmt.Errorf("the socket @vidi/%s is of the user %d, who has not the port %s: it may be somebody else's than the server's; "+
			"ask as the server's user, or with a key in VIDI_ADMIN_KEY", name, uid, name)
	}
	return nil
}

// peerOf says who is at the other end of a UNIX socket.
func peerOf(c net.Conn) (peer *unix.Ucred, err error) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	if controlErr := raw.Control(func(fd uintptr) {
		peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); controlErr != nil {
		return nil, controlErr
	}
	return peer, err
}

// overSocket reports whether a request came over the socket, and so from somebody who may do everything.
func overSocket(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() == "unix"
}
