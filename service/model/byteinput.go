package model

import (
	"encoding/binary"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Some networks take bytes and turn them into small numbers themselves: x.float() / 255, or (x − 127.5) / 127.5. Given small numbers,
// they answer all the same, and wrongly.

// scalesInput matches code whose forward begins with arithmetic on its own input, converted to float32 or not.
var scalesInput = regexp.MustCompile(`def forward\([^)]*?(\w+): Tensor\)[^{}]*?torch\.(?:div|sub|mul)\((?:torch\.to\()?(\w+)(?:, 6\))?, (CONSTANTS\.c\d+|255\.?|127\.5)`)

// converted matches x0 = torch.to(x, 6): the input by another name.
var converted = regexp.MustCompile(`(\w+) = torch\.to\((\w+), 6\)`)

// maxScanned bounds the code that is searched, in bytes: that of a ResNet-152 has 300 KB.
const maxScanned = 4 << 20

// takesBytes reports whether code of a module divides its input by 255, or by 127.5, where constants has one of these.
func takesBytes(code []byte, hasConstant bool) bool {
	text := string(code[:min(len(code), maxScanned)])
	scaled := scalesInput.FindAllStringSubmatch(text, -1)
	if len(scaled) == 0 {
		return false
	}
	type renaming struct{ operand, input string }
	renamed := map[renaming]bool{}
	for _, found := range converted.FindAllStringSubmatch(text, -1) {
		renamed[renaming{found[1], found[2]}] = true
	}
	return slices.ContainsFunc(scaled, func(found []string) bool {
		input, operand, number := found[1], found[2], found[3]
		same := input == operand || renamed[renaming{operand, input}]
		return same && (hasConstant || !strings.HasPrefix(number, "CONSTANTS"))
	})
}

// holdsByteScale reports whether a record of the archive is a constant of one number, 255 or 127.5.
func (a archive) holdsByteScale() bool {
	for name, record := range a.records {
		if path.Dir(name) != "constants" || record.UncompressedSize64 > 8 {
			continue
		}
		data, err := readEntry(record, 8)
		if err != nil {
			continue
		}
		var value float64
		switch len(data) {
		case 4:
			value = float64(math.Float32frombits(binary.LittleEndian.Uint32(data)))
		case 8:
			bits := binary.LittleEndian.Uint64(data)
			if value = math.Float64frombits(bits); bits == 255 {
				value = 255
			}
		}
		if value == 255 || value == 127.5 {
			return true
		}
	}
	return false
}
