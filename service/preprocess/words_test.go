package preprocess

import (
	"encoding/binary"
	"strings"
	"testing"
)

// What a refusal says has no sizes that nobody has, and one byte is one byte.
func TestRefusalsReadWell(t *testing.T) {
	longSide := func(width, height uint16) string {
		sizes := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, height), width)
		return "\xff\xd8\xff\xc0\x00\x11\x08" + string(sizes) + "\x03\x01\x11\x00\x02\x11\x01\x03\x11\x01\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00" + strings.Repeat("\x00", 20) + "\xff\xd9"
	}
	for name, c := range map[string]struct{ data, says string }{
		"one byte":           {"x", "only 1 byte, too few"},
		"two bytes":          {"xy", "only 2 bytes, too few"},
		"a JPEG, too long":   {longSide(65535, 1), "a side of more than 65500 pixels"},
		"a JPEG, both sides": {longSide(65535, 65535), "a side of more than 65500 pixels"},
		"a JPEG, just short": {longSide(65500, 65500), "65500 × 65500 pixels, more than the limit"},
	} {
		_, err := prepare(t, []byte(c.data), Options{})
		if err == nil || !strings.Contains(err.Detail, c.says) || strings.Contains(err.Detail, "0 × 0") {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}
