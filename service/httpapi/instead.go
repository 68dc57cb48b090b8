package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/vidi-vision/vidi/service/preprocess"
)

// slip is a mistake that programs make when they send a picture: how what they send begins, what
// it is, and what to do.
type slip struct {
	begins *regexp.Regexp
	says   string
}

// The first that fits counts. What is matched is the beginning of the text, without white space
// around it.
var slips = []slip{
	{
		regexp.MustCompile(`(?i)^['"]?b'(.|$)|^b"`),
		"it is Python's text for bytes, b'…'; in Python write base64.b64encode(data).decode() " +
			`for JSON, or send the bytes themselves, for example with files={"file": data}`,
	}, {
		regexp.MustCompile(`^\\x[0-9A-Fa-f]{2}`),
		`it is bytes written out as text (\x89…); send the bytes themselves, or base64 of them`,
	}, {
		regexp.MustCompile(`^\[object \w+\]`),
		"it is JavaScript's text for an object, such as [object File]; " +
			"append the File or Blob itself to a FormData",
	}, {
		regexp.MustCompile(`(?i)^(null|undefined|none|nil|nan)$`),
		"it is a word for nothing, such as null: the variable that should hold the picture is empty",
	}, {
		regexp.MustCompile(`(?i)^https?://`),
		"it is a web address, and this server fetches nothing; send the picture itself",
	}, {
		regexp.MustCompile(`(?i)^blob:`),
		"it is an address that only one page of one browser can read (blob:…); " +
			"send the File or Blob itself",
	}, {
		regexp.MustCompile(`(?i)^(ftp|s3|gs|file|content|ph)://`),
		"it is the address of a file, and this server fetches nothing; send the picture itself",
	}, {
		regexp.MustCompile(`(?i)^c:\\fakepath\\`),
		`it is what browsers show in place of a file's path (C:\fakepath); ` +
			"send the file field's files[0]",
	}, {
		regexp.MustCompile(`(?i)^@?[^\r\n]{1,250}\.(jpe?g|jfif|png|gif|webp|bmp|tiff?|hei[cf]|avif)$`),
		"it is a file's name, not its content; with curl write -F file=@picture.jpg with the @, " +
			"and in a program read the file first",
	}, {
		regexp.MustCompile(`(?i)^"(data:|[A-Za-z0-9+/=]{16})`),
		"it is in quotation marks, so it was probably turned into JSON twice; send it without them",
	}, {
		regexp.MustCompile(`^[\[{]`),
		"it is JSON; if the body is JSON, send the header Content-Type: application/json",
	}, {
		regexp.MustCompile(`(?is)^--.{1,72}content-disposition:`),
		"it is a multipart form; its header Content-Type must say so, with the boundary: " +
			"leave that header to your HTTP library",
	}, {
		regexp.MustCompile(`(?i)^((image|img|file|picture|photo)s?|data|base64|url|[a-z]+_[a-z_]+)(\[\])?=`),
		"it is a URL-encoded form; send it with the header Content-Type: " +
			"application/x-www-form-urlencoded, and the picture as base64 in the field image",
	},
}

// instead says what a text is that came in place of a picture, or of base64 of one, and how to
// send the picture; "" where it is none of the usual mistakes. Only the beginning of a long text
// is looked at.
func instead(text []byte) string {
	const enough = 300
	head := bytes.TrimLeft(text[:min(len(text), 2*enough)], " \t\r\n")
	if len(text) <= enough {
		head = bytes.TrimRight(head, " \t\r\n")
	} else {
		head = head[:min(len(head), enough)]
	}
	for _, s := range slips {
		if s.begins.Match(head) {
			return s.says
		}
	}
	return ""
}

// insteadOfPicture says what bytes are that were taken for a picture and are none: a text as
// above, or a picture in an encoding that was not undone. "" is what nobody knows.
func insteadOfPicture(data []byte) string {
	switch {
	case isEncoded(data):
		return "it is base64 that is damaged, or was encoded twice; send the file's bytes, or base64 of them"
	case isHex(data[:min(len(data), 64)]):
		return "it is hexadecimal; send the file's bytes, or base64 of them"
	case isHex(base64.StdEncoding.AppendEncode(nil, data[:min(len(data), 48)/3*3])):
		// Its digits were read as base64.
		return "it is hexadecimal, not base64; send the file's bytes, or base64 of them"
	case isText(data):
		return instead(data)
	}
	return ""
}

// isHex reports whether text begins as a picture written in hexadecimal does.
func isHex(text []byte) bool {
	text = []byte(strings.TrimPrefix(strings.ToLower(string(text)), "0x"))
	data := make([]byte, hex.DecodedLen(len(text)))
	n, err := hex.Decode(data, text[:len(text)/2*2])
	return err == nil && preprocess.FormatOf(data[:n]) != ""
}
