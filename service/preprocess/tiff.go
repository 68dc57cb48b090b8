package preprocess

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"math"

	"golang.org/x/image/tiff"
)

// The tags of a TIFF directory that decide what decoding costs, and whether the decoder reads the file right.
const (
	tiffWidth         = 256
	tiffHeight        = 257
	tiffBitsPerSample = 258
	tiffCompression   = 259
	tiffPhotometric   = 262
	tiffFillOrder     = 266
	tiffSamples       = 277
	tiffRowsPerStrip  = 278
	tiffPlanarConfig  = 284
	tiffT4Options     = 292
	tiffPredictor     = 317
	tiffTileWidth     = 322
	tiffTileHeight    = 323
	tiffExtraSamples  = 338
	tiffSampleFormat  = 339
)

// Some of their values.
const (
	tiffBigVersion = 43 // of the file header: BigTIFF
	tiffGroup3     = 3  // compressions of fax machines
	tiffGroup4     = 4
	tiffBlackZero  = 1 // photometric interpretations
	tiffRGB        = 2
)

func readTIFFHeader(r request) (header, error) {
	tags, err := readTIFFTags(r.data)
	if err != nil {
		return header{}, err
	}
	w, h := tags.first(tiffWidth, 0), tags.first(tiffHeight, 0)
	if err := checkSize("tiff", w, h, r.limits); err != nil {
		return header{}, err
	}
	if what := tags.notRead(); what != "" {
		return header{}, unsupportedVariant("tiff", nil, what)
	}
	memory, err := tiffMemory(tags, w, h, int64(len(r.data)))
	if err != nil {
		return header{}, err
	}
	return header{
		width: int(w), height: int(h), memory: memory,
		decode: decodeWith("tiff", int(w), int(h), func(m *meter) (image.Image, error) {
			img, err := tiff.Decode(tags.forDecoder(m))
			var unsupported tiff.UnsupportedError
			if errors.As(err, &unsupported) {
				return nil, unsupportedVariant("tiff", err, "a rare kind of colours or of compression")
			}
			if err != nil {
				return nil, corrupt("tiff", err)
			}
			if gray, ok := img.(*image.Gray); ok && tags.fax() && tags.first(tiffPhotometric, 0) == tiffBlackZero {
				invert(gray) // the decoder takes white runs for white, where libtiff takes them for zeros, here black
			}
			return tags.fromDecoder(img), nil
		}),
	}, nil
}

// Compressions and colours that the decoder does not have, as a person would name them.
var (
	tiffForeignCompressions = map[int64]string{
		2: "CCITT compression", 6: "JPEG compression", 7: "JPEG compression", 34925: "LZMA compression",
		50000: "Zstandard compression", 50001: "WebP compression",
	}
	tiffForeignColors = map[int64]string{5: "CMYK colours", 6: "YCbCr colours", 8: "Lab colours", 9: "Lab colours", 10: "Lab colours"}
)

// notRead names what keeps the decoder from reading the file, "" for nothing. Some of it the decoder would not even notice:
// planes, reversed bits.
func (t tiffTags) notRead() string {
	if what := tiffForeignCompressions[t.first(tiffCompression, 1)]; what != "" {
		return what
	}
	photometric, samples := t.first(tiffPhotometric, 0), t.first(tiffSamples, 1)
	if what := tiffForeignColors[photometric]; what != "" {
		return what
	}
	bits := t.first(tiffBitsPerSample, 1)
	switch {
	case bits != 1 && bits != 8 && bits != 16:
		return fmt.Sprintf("%d bits a sample", bits)
	case t.first(tiffSampleFormat, 1) != 1:
		return "signed or floating-point samples"
	case t.first(tiffPlanarConfig, 1) == 2 && samples > 1:
		return "colours in separate planes"
	case t.first(tiffFillOrder, 1) == 2 && !t.fax():
		return "its bits in reverse order"
	case t.first(tiffCompression, 1) == tiffGroup3 && t.first(tiffT4Options, 0)&1 != 0:
		return "fax compression in two dimensions (group 3)"
	case t.first(tiffCompression, 1) == tiffGroup3 && t.first(tiffT4Options, 0)&6 != 0:
		return "fax compression (group 3) with fill bits or without compression"
	case t.grayAlpha(), t.unspecifiedAlpha():
	case photometric == tiffRGB && samples != 3 && (samples != 4 || t.first(tiffExtraSamples, 0) == 0),
		photometric != tiffRGB && samples > 1:
		return "extra channels"
	}
	return ""
}

func (t tiffTags) fax() bool {
	compression := t.first(tiffCompression, 1)
	return compression == tiffGroup3 || compression == tiffGroup4
}

func invert(img *image.Gray) {
	for i := range img.Pix {
		img.Pix[i] ^= 0xff
	}
}

// tiffMemory estimates what the decoder holds: its own picture, one strip or tile unpacked, and the finished picture.
func tiffMemory(tags tiffTags, w, h, fileBytes int64) (int64, error) {
	blockWidth, blockHeight := w, min(h, tags.first(tiffRowsPerStrip, h))
	if blockHeight == 0 {
		blockHeight = h
	}
	if tw := tags.first(tiffTileWidth, 0); tw != 0 {
		blockWidth, blockHeight = tw, tags.first(tiffTileHeight, 0)
		if blockWidth > w+1024 || blockHeight > h+1024 {
			return 0, corrupt("tiff", fmt.Errorf("tiles of %d × %d in a picture of %d × %d", blockWidth, blockHeight, w, h))
		}
	}
	// The decoder unpacks up to 8 bytes a pixel, whatever the depth says, into a buffer that doubles as it grows.
	block := blockWidth * blockHeight * 8 * 3
	if tags.first(tiffCompression, 1) == 1 {
		block = min(block, 2*fileBytes)
	}
	native := int64(1)
	if tags.first(tiffPhotometric, 0) == tiffRGB {
		native = 4
	}
	if tags.first(tiffBitsPerSample, 1) == 16 {
		native *= 2
	}
	if tags.grayAlpha() {
		native = 2
	}
	memory := native*w*h + block
	if native < 4 {
		memory += 4 * w * h
	}
	return memory, nil
}

// tiffTags are the first values of a directory's entries.
type tiffTags struct {
	values    map[uint16]uint32
	order     binary.ByteOrder
	directory []byte // its entries, of 12 bytes each
	at        int64  // where they lie in the file
}

func (t tiffTags) first(tag uint16, missing int64) int64 {
	if v, ok := t.values[tag]; ok {
		return int64(v)
	}
	return missing
}

// readTIFFTags reads the entries of the first directory that hold small numbers, where they lie in data.
func readTIFFTags(data []byte) (tiffTags, error) {
	var none tiffTags
	if len(data) < 8 {
		return none, corrupt("tiff", errors.New("no header"))
	}
	var order binary.ByteOrder = binary.LittleEndian
	if data[0] == 'M' {
		order = binary.BigEndian
	}
	if order.Uint16(data[2:]) == tiffBigVersion {
		return none, unsupportedVariant("tiff", nil, "64-bit offsets (BigTIFF)")
	}
	at := int64(order.Uint32(data[4:]))
	if at+2 > int64(len(data)) {
		return none, corrupt("tiff", errors.New("the directory lies beyond the end"))
	}
	entries := data[at+2:]
	n := int(order.Uint16(data[at:]))
	if n*12 > len(entries) {
		return none, corrupt("tiff", errors.New("the directory is cut off"))
	}
	tags := tiffTags{values: map[uint16]uint32{}, order: order, directory: entries[:n*12], at: at + 2}
	for i := range n {
		entry := entries[i*12 : i*12+12]
		if value, ok := tiffValue(entry, data, order); ok {
			tags.values[order.Uint16(entry)] = value
		}
	}
	return tags, nil
}

// tiffValue is the first number of an entry of the type byte, short or long.
func tiffValue(entry, data []byte, order binary.ByteOrder) (uint32, bool) {
	var size int64
	switch order.Uint16(entry[2:]) {
	case 1:
		size = 1
	case 3:
		size = 2
	case 4:
		size = 4
	default:
		return 0, false
	}
	count := int64(order.Uint32(entry[4:]))
	value := entry[8:]
	if count == 0 || count > math.MaxInt32 {
		return 0, false
	}
	if size*count > 4 {
		at := int64(order.Uint32(value))
		if at+size > int64(len(data)) {
			return 0, false
		}
		value = data[at:]
	}
	switch size {
	case 1:
		return uint32(value[0]), true
	case 2:
		return uint32(order.Uint16(value)), true
	}
	return order.Uint32(value), true
}
