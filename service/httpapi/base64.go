package httpapi

import (
	"bytes"
	"encoding/base64"

	"github.com/vidi-vision/vidi/service/api"
)

// decodeImageText decodes a picture in JSON or in a form's text field: base64, or a data: URL whose media type is ignored, since the bytes say what
// they are.
func decodeImageText(text []byte) ([]byte, error) {
	if len(text) < 5 || !bytes.EqualFold(text[:5], []byte("data:")) {
		return decodeBase64(text)
	}
	head, data, found := bytes.Cut(text, []byte(","))
	if !found {
		return nil, fail(api.BadBase64, "the data: URL has no comma; it should look like data:image/jpeg;base64,…")
	}
	if !bytes.HasSuffix(bytes.ToLower(head), []byte(";base64")) {
		return nil, fail(api.BadBase64, "the data: URL is not base64; it should look like data:image/jpeg;base64,…")
	}
	return decodeBase64(data)
}

// decodeBase64 takes the standard alphabet, padded, with line breaks anywhere, which is what `base64` prints. Refusals say
// which of the usual mistakes it is.
func decodeBase64(text []byte) ([]byte, error) {
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(data, text)
	if err != nil {
		return nil, fail(api.BadBase64, "the picture is not valid base64: %s", base64Mistake(text)).because(err)
	}
	return data[:n], nil
}

func base64Mistake(text []byte) string {
	start := bytes.ToLower(text[:min(len(text), 8)])
	odd := bytes.IndexFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '/' || r == '=' || r == '\r' || r == '\n')
	})
	switch {
	case bytes.HasPrefix(start, []byte("http://")), bytes.HasPrefix(start, []byte("https://")):
		return "it is a web address, and this server fetches nothing; send the picture itself"
	case odd < 0:
		return "its length is wrong; it was cut short, or its padding (=) is missing or misplaced"
	case text[odd] == '-', text[odd] == '_':
		return "it uses the URL-safe alphabet; write + and / instead of - and _"
	case text[odd] == ' ', text[odd] == '\t':
		return "it holds blanks; line breaks are the only white space allowed"
	}
	return "it holds other characters; to upload a file from curl, write -F file=@picture.jpg with the @"
}
