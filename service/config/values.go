package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// The types below keep what is wrong with a value until Validate asks, because kong stops at the first flag that it cannot
// parse.

// Bytes is a size: "20MiB", "20MB" or "20971520".
type Bytes struct {
	N       int64 // bytes
	Given   bool  // by the operator, or as a default
	mistake error
}

// UnmarshalText never fails: see Serve.Validate.
func (b *Bytes) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > math.MaxInt64 {
		b.mistake = fmt.Errorf("%q is not a size; for example 20MiB", text)
	}
	b.N, b.Given = int64(n), true
	return nil
}

func (b Bytes) between(least, most int64) error {
	switch {
	case b.mistake != nil:
		return b.mistake
	case b.N < least, b.N > most:
		return tooFar(humanize.IBytes(uint64(max(b.N, 0))), humanize.IBytes(uint64(least)), humanize.IBytes(uint64(most)))
	}
	return nil
}

// Count is a whole number: "64", "50M" or "50000000".
type Count struct {
	N       int64
	mistake error
}

// UnmarshalText never fails: see Serve.Validate.
func (c *Count) UnmarshalText(text []byte) error {
	n, unit, err := humanize.ParseSI(string(text))
	if err != nil || unit != "" || !wholeNumber(n) {
		c.mistake = fmt.Errorf("%q is not a whole number; for example 64, or 50M for 50 million", text)
		return nil
	}
	c.N = int64(n)
	return nil
}

// CheckPixels says what is wrong with the count as the most pixels of one picture.
func (c Count) CheckPixels() error { return c.between(1, 2_000_000_000) }

func (c Count) between(least, most int64) error {
	switch {
	case c.mistake != nil:
		return c.mistake
	case c.N < least, c.N > most:
		return tooFar(strconv.FormatInt(c.N, 10), strconv.FormatInt(least, 10), strconv.FormatInt(most, 10))
	}
	return nil
}

// Duration is a length of time: "2s", "500ms" or "1m30s".
type Duration struct {
	D       time.Duration
	mistake error
}

// UnmarshalText never fails: see Serve.Validate.
func (d *Duration) UnmarshalText(text []byte) error {
	value, err := time.ParseDuration(string(text))
	if err != nil {
		d.mistake = fmt.Errorf("%q is not a length of time; for example 25s, 500ms or 1m30s", text)
	}
	d.D = value
	return nil
}

func (d Duration) between(least, most time.Duration) error {
	switch {
	case d.mistake != nil:
		return d.mistake
	case d.D < least, d.D > most:
		return tooFar(d.D.String(), least.String(), most.String())
	}
	return nil
}

// Digest is the SHA-256 of a file: 64 hexadecimal digits, as sha256sum prints them. It holds small letters.
type Digest string

// UnmarshalText fails for anything else.
func (d *Digest) UnmarshalText(text []byte) error {
	*d = Digest(strings.ToLower(string(text)))
	if len(*d) != 64 || strings.Trim(string(*d), "0123456789abcdef") != "" {
		return fmt.Errorf("%.80q is not the SHA-256 of a file; give 64 hexadecimal digits, as `sha256sum FILE` prints them", text)
	}
	return nil
}
