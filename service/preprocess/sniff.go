package preprocess

import (
	"bytes"
	"errors"
	"strings"

	"github.com/dustin/go-humanize/english"
)

// formatNames are the formats that are read, by their names in [Picture.Format], as people write them.
var formatNames = map[string]string{
	"jpeg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WebP", "bmp": "BMP", "tiff": "TIFF",
}

const formatList = "JPEG, PNG, GIF, WebP, BMP and TIFF"

// A magic is how files of one kind begin; "?" in the pattern stands for any byte.
type magic struct {
	pattern string
	name    string
}

// The first match counts, so longer patterns stand before the shorter ones that they contain.
var ours = []magic{
	{"\xff\xd8\xff", "jpeg"},
	{"\x89PNG\r\n\x1a\n", "png"},
	{"GIF87a", "gif"},
	{"GIF89a", "gif"},
	{"RIFF????WEBP", "webp"},
	{"BM", "bmp"},
	{"II*\x00", "tiff"},
	{"MM\x00*", "tiff"},
	{"II+\x00", "tiff"}, // BigTIFF
	{"MM\x00+", "tiff"},
}

var foreign = []magic{
	{"II*\x00????CR", "Canon raw file"},
	{"FUJIFILMCCD-RAW", "Fujifilm raw file"},
	{"IIU\x00", "Panasonic raw file"},
	{"IIRO", "Olympus raw file"},
	{"????ftypheic", "HEIC picture"}, // ISO 23008-12 names these brands
	{"????ftypheix", "HEIC picture"},
	{"????ftypheim", "HEIC picture"},
	{"????ftypheis", "HEIC picture"},
	{"????ftyphevc", "HEIC picture"},
	{"????ftyphevx", "HEIC picture"},
	{"????ftyphevm", "HEIC picture"},
	{"????ftyphevs", "HEIC picture"},
	{"????ftypmif1", "HEIF picture"},
	{"????ftypmsf1", "HEIF picture"},
	{"????ftypmif2", "HEIF picture"},
	{"????ftypavi", "AVIF picture"},
	{"????ftypcrx", "Canon raw file"},
	{"????ftyp", "video"},
	{"RIFF????AVI ", "video"},
	{"\x1aE\xdf\xa3", "video"},
	{"\xff\x0a", "JPEG XL picture"},
	{"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL picture"},
	{"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000 picture"},
	{"\xff\x4f\xff\x51", "JPEG 2000 picture"},
	{"8BPS", "Photoshop document"},
	{"\x00\x00\x01\x00", "Windows icon"},
	{"\x00\x00\x02\x00", "Windows cursor"},
	{"%PDF", "PDF document"},
	{"%!PS", "PostScript document"},
	{"gimp xcf", "GIMP document"},
	{"DDS ", "DirectDraw surface"},
	{"v/1\x01", "OpenEXR picture"},
	{"#?RADIANCE", "Radiance picture"},
	{"qoif", "QOI picture"},
	{"farbfeld", "farbfeld picture"},
	{"PK\x03\x04", "ZIP archive"},
	{"\x1f\x8b", "gzip file"},
}

func (m magic) matches(data []byte) bool {
	if len(data) < len(m.pattern) {
		return false
	}
	for i := range m.pattern {
		if m.pattern[i] != '?' && m.pattern[i] != data[i] {
			return false
		}
	}
	return true
}

// sniff tells a picture's format from its first bytes alone: names and declared types are often wrong.
func sniff(data []byte) (string, error) {
	if len(data) == 0 {
		return "", refuse(EmptyImage, nil, "the file is empty; send a picture")
	}
	// Some raw files begin as a TIFF does, so these come first.
	for _, m := range foreign {
		if m.matches(data) {
			return "", unsupportedFormat(m.name)
		}
	}
	for _, m := range ours {
		if m.matches(data) {
			return m.name, nil
		}
	}
	if name := sniffText(data); name != "" {
		return "", unsupportedFormat(name)
	}
	if name := sniffDecoded(data); name != "" {
		return "", refuse(UnsupportedFormat, nil, "this was a %s, whose bytes were decoded as UTF-8 text on the way, and so lost; "+
			"read the file as bytes, not as text, and send them unchanged", name)
	}
	if bytes.Contains(data[:min(len(data), 24)], []byte("IHDR")) { // every PNG has it there, also after a transfer that changed line ends
		return "", corrupt("png", errors.New("the signature is damaged"))
	}
	if len(data) < 12 { // the longest pattern of ours
		return "", refuse(CorruptImage, nil, "the file has only %s, too few for a picture; send the whole file", english.Plural(len(data), "byte", ""))
	}
	return "", refuse(UnsupportedFormat, nil, "this is not a picture that vidi knows; it reads %s", formatList)
}

// sniffText names the texts that come in place of pictures: an SVG, or the web page of an error.
func sniffText(data []byte) string {
	head := bytes.ToLower(bytes.TrimLeft(data[:min(len(data), 512)], "\xef\xbb\xbf \t\r\n"))
	switch {
	case bytes.HasPrefix(head, []byte("<svg")), bytes.HasPrefix(head, []byte("<?xml")) && bytes.Contains(head, []byte("<svg")):
		return "SVG drawing"
	case bytes.HasPrefix(head, []byte("<!doctype html")), bytes.HasPrefix(head, []byte("<html")):
		return "web page"
	}
	return ""
}

// sniffDecoded names the picture whose bytes were taken for UTF-8: where they are none, the replacement character U+FFFD stands.
// Others became text as Latin-1, and two bytes each.
func sniffDecoded(data []byte) string {
	const lost = "\xef\xbf\xbd"
	head := bytes.TrimPrefix(data[:min(len(data), 32)], []byte("\xef\xbb\xbf"))
	for begin, name := range map[string]string{
		lost + lost + lost: "JPEG", "\u00ff\u00d8\u00ff": "JPEG",
		lost + "PNG": "PNG", "\u0089PNG": "PNG",
	} {
		if bytes.HasPrefix(head, []byte(begin)) {
			return name
		}
	}
	if bytes.HasPrefix(head, []byte("RIFF")) && bytes.Contains(head, []byte("WEBP")) {
		return "WebP"
	}
	return ""
}

func unsupportedFormat(name string) *Error {
	article := "a"
	if strings.ContainsRune("AO", rune(name[0])) || strings.HasPrefix(name, "SVG") {
		article = "an"
	}
	return refuse(UnsupportedFormat, nil, "this is %s %s; vidi reads %s: save it as JPEG", article, name, formatList)
}
