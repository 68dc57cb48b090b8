// Package keys decides who may send requests: a file names the keys, what each may do and how often.
//
// A key is 256 random bits, so its plain SHA-256 is kept. Slow hashes (bcrypt, argon2) protect passwords, which can be
// guessed; nobody guesses 2^256, and each request would pay for the slowness.
package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Role is what a key allows.
type Role string

// The roles. Admin includes the others.
const (
	Infer   Role = "infer"   // predictions, and the list of models
	Metrics Role = "metrics" // /metrics and /stats of the admin listener
	Admin   Role = "admin"   // everything, profiles too
)

// Roles is every role, as they are written in the file.
var Roles = []Role{Infer, Metrics, Admin}

// key is one line of the file.
type key struct {
	name  string
	roles []Role
	hash  [sha256.Size]byte
	quota quota
	// limiter is shared with the key of the same line before a reload, so that a reload does not refill it; nil is no limit.
	limiter *rate.Limiter
}

func (k *key) may(r Role) bool {
	for _, own := range k.roles {
		if own == r || own == Admin {
			return true
		}
	}
	return false
}

// Ring is the keys of a file. A nil *Ring is open: it lets everybody in. All methods are safe for concurrent use.
type Ring struct {
	path   string
	opened []byte // the file as Open found it; Watch begins there, so that no change in between is missed
	keys   atomic.Pointer[[]*key]
}

// What Check can refuse for; a [*TooOften] is the fourth.
var (
	ErrNoKey     = errors.New("the request has no key")
	ErrUnknown   = errors.New("the request's key is not known")
	ErrForbidden = errors.New("the key does not allow this")
)

// TooOften refuses a key that has used up its rate.
type TooOften struct{ Wait time.Duration } // until the next request would be let in

func (e *TooOften) Error() string { return fmt.Sprintf("the key's rate is used up for %v", e.Wait) }

// Check finds the key in the request's headers and reports its name and whether it may act as role. With an error the name is
// set too where the key is known.
func (r *Ring) Check(h http.Header, role Role) (name string, err error) {
	if r == nil {
		return "", nil
	}
	presented := FromHeaders(h)
	if presented == "" {
		return "", ErrNoKey
	}
	k := r.find(presented)
	switch {
	case k == nil:
		return "", ErrUnknown
	case !k.may(role):
		return k.name, ErrForbidden
	}
	return k.name, k.take(time.Now())
}

// find compares with every key, and each in constant time: how long it takes tells nothing about any of them.
func (r *Ring) find(presented string) *key {
	hash := sha256.Sum256([]byte(presented))
	var found *key
	for _, k := range *r.keys.Load() {
		if subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1 {
			found = k
		}
	}
	return found
}

func (k *key) take(now time.Time) error {
	if k.limiter == nil {
		return nil
	}
	reservation := k.limiter.ReserveN(now, 1)
	if wait := reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return &TooOften{Wait: wait}
	}
	return nil
}

// Charge counts more pictures, beside the one that Check has counted, of the key of that name. It never refuses: what is over the
// rate is paid back before the key's next request is let in.
func (r *Ring) Charge(name string, pictures int) {
	if r == nil {
		return
	}
	for _, k := range *r.keys.Load() {
		if k.name != name || k.limiter == nil {
			continue
		}
		for now := time.Now(); pictures > 0; { // no reservation may be larger than the burst
			n := min(pictures, k.limiter.Burst())
			k.limiter.ReserveN(now, n)
			pictures -= n
		}
		return
	}
}

// Count is how many keys there are.
func (r *Ring) Count() int {
	if r == nil {
		return 0
	}
	return len(*r.keys.Load())
}

// FromHeaders is the key that a request presents, "" for none: "Authorization: Bearer KEY", or "X-API-Key: KEY".
func FromHeaders(h http.Header) string {
	if scheme, value, ok := strings.Cut(h.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(value)
	}
	return strings.TrimSpace(h.Get("X-API-Key"))
}

// prefix makes a key that leaked into a repository or a log recognisable, to people and to scanners.
const prefix = "vidi_"

// New is a new random key.
func New() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails: the program ends where the system has no randomness
	return prefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret))
}
