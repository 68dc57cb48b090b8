package httpapi

import (
	"bytes"
	"context"
	"encoding/hex"
	"image"
	"image/draw"
	"image/gif"
	"mime/quotedprintable"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/image/bmp"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// jpegStart begins as a JPEG does; it is long enough for every encoding of it to be recognised.
var jpegStart = "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x01\x00H\x00H\x00\x00" + strings.Repeat("\xfe\x00?>~", 20) + "\xff\xd9"

// sniffing is a classifier that takes what begins as a picture does, and refuses the rest as the real one would.
func sniffing() *fake {
	return &fake{classify: func(_ context.Context, data []byte) error {
		switch {
		case preprocess.FormatOf(data) != "":
			return nil
		case len(data) < 12:
			return &preprocess.Error{Code: preprocess.CorruptImage, Detail: "too few bytes for a picture"}
		default:
			return &preprocess.Error{Code: preprocess.UnsupportedFormat, Detail: "this is not a picture that vidi knows"}
		}
	}}
}

// crlf writes a request's body with the line ends of HTTP.
func crlf(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }

// What HTTP clients send for a picture, byte by byte: the headers of the body and of its parts are those of the client named.
func TestBodiesOfRealClients(t *testing.T) {
	picture, text := jpegStart, b64(jpegStart)
	var lines strings.Builder // as MIME has it
	for rest := text; len(rest) > 0; rest = rest[min(76, len(rest)):] {
		lines.WriteString(rest[:min(76, len(rest))] + "\r\n")
	}
	var printable strings.Builder
	q := quotedprintable.NewWriter(&printable)
	q.Binary = true
	q.Write([]byte(picture))
	q.Close()
	// One part of a form, with these headers.
	one := func(boundary, content string, headers ...string) string {
		return "--" + boundary + "\r\n" + crlf(headers...) + "\r\n" + content + "\r\n--" + boundary + "--\r\n"
	}
	const dataURL = "data:image/jpeg;base64,"
	for name, c := range map[string]struct{ contentType, body string }{
		".NET MultipartFormDataContent, StringContent": {`multipart/form-data; boundary="5e25f5d7-7e0c-4b7e-a8a6-2f7a7a1d7f1c"`,
			one("5e25f5d7-7e0c-4b7e-a8a6-2f7a7a1d7f1c", text, "Content-Type: text/plain; charset=utf-8", "Content-Disposition: form-data; name=image")},
		".NET MultipartFormDataContent, ByteArrayContent without a name": {`multipart/form-data; boundary="5e25f5d7"`,
			one("5e25f5d7", picture, "Content-Disposition: form-data; name=file")},
		".NET MultipartFormDataContent, a name with blanks": {`multipart/form-data; boundary="5e25f5d7"`,
			one("5e25f5d7", picture, "Content-Disposition: form-data; name=file; filename=my picture (1).jpg; filename*=utf-8''my%20picture%20%281%29.jpg")},
		"aiohttp FormData, str": {"multipart/form-data; boundary=0d5fa0ea10e14fbca5e14f66f1c43b2c",
			one("0d5fa0ea10e14fbca5e14f66f1c43b2c", text, "Content-Type: text/plain; charset=utf-8", `Content-Disposition: form-data; name="image"`)},
		"aiohttp FormData, bytes": {"multipart/form-data; boundary=0d5fa0ea",
			one("0d5fa0ea", picture, "Content-Type: application/octet-stream", `Content-Disposition: form-data; name="file"`)},
		"Spring MultiValueMap, String": {"multipart/form-data;boundary=Uu8Yp-rY9oJ_2mT6",
			one("Uu8Yp-rY9oJ_2mT6", text, `Content-Disposition: form-data; name="image"`, "Content-Type: text/plain;charset=UTF-8", "Content-Length: 5000")},
		"Spring MultiValueMap, byte[]": {"multipart/form-data;boundary=Uu8Yp-rY9oJ_2mT6",
			one("Uu8Yp-rY9oJ_2mT6", picture, `Content-Disposition: form-data; name="file"`, "Content-Type: application/octet-stream", "Content-Length: 121")},
		"Spring, data URL": {"multipart/form-data;boundary=Uu8",
			one("Uu8", dataURL+text, `Content-Disposition: form-data; name="image"`, "Content-Type: text/plain;charset=UTF-8")},
		"Apache HttpClient 4, addTextBody": {"multipart/form-data; boundary=6nHpYkA5kHwPIzvSFvDRDGyvB3ZJ",
			one("6nHpYkA5kHwPIzvSFvDRDGyvB3ZJ", text, `Content-Disposition: form-data; name="image"`, "Content-Type: text/plain; charset=ISO-8859-1", "Content-Transfer-Encoding: 8bit")},
		"Apache HttpClient 4, addBinaryBody": {"multipart/form-data; boundary=6nHpYkA5",
			one("6nHpYkA5", picture, `Content-Disposition: form-data; name="file"; filename="a.jpg"`, "Content-Type: application/octet-stream", "Content-Transfer-Encoding: binary")},
		"Jakarta Mail": {"multipart/form-data; \r\n\tboundary=\"----=_Part_0_1747585708.1764565997\"",
			one("----=_Part_0_1747585708.1764565997", lines.String(), "Content-Type: image/jpeg; name=a.jpg", "Content-Transfer-Encoding: base64",
				"Content-Disposition: form-data; name=file; filename=a.jpg")},
		"SOAP with attachments, unquoted boundary": {"multipart/form-data; boundary=----=_Part_0_1747585708.1764565997",
			one("----=_Part_0_1747585708.1764565997", picture, `Content-Disposition: form-data; name="file"; filename="a.jpg"`)},
		"boundary with every character that RFC 2046 allows": {"multipart/form-data; charset=utf-8; boundary=gc0p4Jq0M2Yt'()+_,-./:=?08jU534c0p",
			one("gc0p4Jq0M2Yt'()+_,-./:=?08jU534c0p", picture, `Content-Disposition: form-data; name="file"; filename="a.jpg"`)},
		"Python email, base64": {`multipart/form-data; boundary================1234567890123456789==`,
			one("===============1234567890123456789==", lines.String(), "Content-Type: application/octet-stream", "MIME-Version: 1.0", "Content-Transfer-Encoding: base64",
				`Content-Disposition: form-data; name="file"; filename="a.jpg"`)},
		"Python email, base64 of text": {`multipart/form-data; boundary="===============1234567890123456789=="`,
			one("===============1234567890123456789==", b64(text), `Content-Type: text/plain; charset="utf-8"`, "MIME-Version: 1.0", "Content-Transfer-Encoding: BASE64",
				`Content-Disposition: form-data; name="image"`)},
		"Indy, quoted-printable": {"multipart/form-data; boundary=--------071225130545679",
			one("--------071225130545679", printable.String(), `Content-Disposition: form-data; name="file"; filename="a.jpg"`, "Content-Type: image/jpeg", "Content-Transfer-Encoding: quoted-printable")},
		"a header that lies about base64": {"multipart/form-data; boundary=b",
			one("b", picture, `Content-Disposition: form-data; name="file"; filename="a.jpg"`, "Content-Transfer-Encoding: base64")},
		"Dart http": {"multipart/form-data; boundary=dart-http-boundary-w+_Zk.T8xY2-Q1",
			one("dart-http-boundary-w+_Zk.T8xY2-Q1", text, `content-disposition: form-data; name="image"`)},
		"OkHttp": {"multipart/form-data; boundary=0b1c6ba5-4ac7-4b5b-8f4d-b0a3d84d5b9e",
			one("0b1c6ba5-4ac7-4b5b-8f4d-b0a3d84d5b9e", text, `Content-Disposition: form-data; name="image"`, "Content-Type: text/plain; charset=utf-8", "Content-Length: 164")},
		"browser, a canvas's data URL as a Blob": {"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
			one("----WebKitFormBoundary7MA4YWxkTrZu0gW", dataURL+text, `Content-Disposition: form-data; name="file"; filename="blob"`, "Content-Type: text/plain")},
		"curl -F 'image=<base64.txt;type=text/plain'": {"multipart/form-data; boundary=------------------------d74496d66958873e",
			one("------------------------d74496d66958873e", lines.String(), `Content-Disposition: form-data; name="image"`, "Content-Type: text/plain")},
		"bare base64 as text/plain": {"text/plain", lines.String()},
		"bare base64 as nothing":    {"", text},
		"bare data URL":             {"text/plain;charset=UTF-8", dataURL + text},
		"curl -d @base64.txt":       {"application/x-www-form-urlencoded", text},
		"URL-encoded form":          {"application/x-www-form-urlencoded", "image=" + url.QueryEscape(text) + "&top_k=2"},
		"URL-encoded form, parameter first": {"application/x-www-form-urlencoded; charset=UTF-8",
			"top_k=2&lang=zh-CN&file=" + url.QueryEscape(dataURL+text)},
		"URL-encoded form, + not encoded":   {"application/x-www-form-urlencoded", "image=" + text},
		"URL-encoded form, bytes":           {"application/x-www-form-urlencoded", "image=" + url.QueryEscape(picture)},
		"bare picture as URL-encoded, curl": {"application/x-www-form-urlencoded", picture},
	} {
		t.Run(name, func(t *testing.T) {
			f := sniffing()
			s, _ := ready(f, nil)
			answer := decodeAnswer(t, post(s, "/predict", c.contentType, strings.NewReader(c.body)))
			if got := f.pictures(); len(got) != 1 || got[0] != picture {
				t.Errorf("the classifier saw %.100q", got)
			}
			if len(answer.Results) != 1 || answer.Results[0].Error != nil {
				t.Errorf("results are %+v", answer.Results)
			}
			if strings.Contains(c.body, "top_k") && f.asked.TopK != 2 {
				t.Errorf("asked %+v", f.asked)
			}
		})
	}
}

// Several pictures in a URL-encoded form answer each for themselves, within the limits of every other form.
func TestURLEncodedForms(t *testing.T) {
	f := &fake{}
	s, _ := ready(f, func(c *Config) { c.MaxImages = 2 })
	send := func(body string) api.PredictResponse {
		t.Helper()
		return decodeAnswer(t, post(s, "/predict", "application/x-www-form-urlencoded", strings.NewReader(body)))
	}
	results := send("image=YQ%3D%3D&file=%25").Results
	if len(results) != 2 || results[0].Error != nil || results[1].Error == nil || results[1].Error.Code != api.BadBase64 {
		t.Errorf("results are %+v", results)
	}
	for _, body := range []string{
		"top%5Fk=2&image=YQ%3D%3D", "%74op_k=2&im%61ge=YQ%3D%3D", "image=YQ%3D%3D&&top_k=2", "&top_k=2&&image=YQ%3D%3D&",
		"image=YQ%3D%3D&top_k=2" + strings.Repeat("&", 1000), // empty fields are none
	} {
		results := send(body).Results
		if len(results) != 1 || results[0].Error != nil || f.asked.TopK != 2 {
			t.Errorf("%.60q: %+v, asked for %d", body, results, f.asked.TopK)
		}
	}
	for body, want := range map[string]api.Code{
		"image=YQ%3D%3D&image=YQ%3D%3D&image=YQ%3D%3D": api.TooManyImages, "image=%4": api.BadRequest, "image=%zz": api.BadRequest, "image=": api.EmptyImage,
		"top_k=1": api.NoImage, "image=YQ%3D%3D&topk=1": api.BadParameter, "image=YQ%3D%3D&top_k=1&top_k=1": api.BadParameter, "top_k=x&image=YQ%3D%3D": api.BadParameter,
		"image=YQ%3D%3D" + strings.Repeat("&a=1", 100): api.BadParameter, "top%5k=2&image=YQ%3D%3D": api.BadRequest,
		"image=%\x11\x11": api.BadRequest, "lang=" + strings.Repeat("z", 2000): api.BadParameter,
	} {
		wantProblem(t, post(s, "/predict", "application/x-www-form-urlencoded", strings.NewReader(body)), want)
	}
}

// Pictures whose first bytes read like name=value are pictures still: curl --data-binary says of
// each that it is a URL-encoded form.
func TestPicturesThatBeginLikeAForm(t *testing.T) {
	encoded := func(encode func(*bytes.Buffer, image.Image) error, width, height int) string {
		t.Helper()
		var b bytes.Buffer
		m := image.NewRGBA(image.Rect(0, 0, width, height))
		draw.Draw(m, m.Bounds(), image.White, image.Point{}, draw.Src)
		if err := encode(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	asGIF := func(b *bytes.Buffer, m image.Image) error { return gif.Encode(b, m, nil) }
	asBMP := func(b *bytes.Buffer, m image.Image) error { return bmp.Encode(b, m) }
	for name, picture := range map[string]string{
		"GIF, 317 pixels wide":  encoded(asGIF, 317, 2),
		"GIF, 61 pixels wide":   encoded(asGIF, 61, 2),
		"BMP of 15670 bytes":    encoded(asBMP, 85, 61),
		"WebP, its size is z=…": "RIFFz=\x00\x00WEBPVP8 " + strings.Repeat("\x00", 0x3d7a-8),
	} {
		if !formHead.MatchString(picture) {
			t.Errorf("%s: it does not begin like a form: %.16q", name, picture)
		}
		f := sniffing()
		s, _ := ready(f, nil)
		w := post(s, "/predict?top_k=1", "application/x-www-form-urlencoded", strings.NewReader(picture))
		results := decodeAnswer(t, w).Results
		if got := f.pictures(); len(got) != 1 || got[0] != picture || len(results) != 1 || results[0].Error != nil {
			t.Errorf("%s: the classifier saw %d pictures, results are %+v", name, len(got), results)
		}
	}
}

// What comes in place of a picture is named, with what to do instead.
func TestWhatCameInsteadIsNamed(t *testing.T) {
	picture, text := jpegStart, b64(jpegStart)
	const (
		typeJSON = "application/json"
		typeURL  = "application/x-www-form-urlencoded"
	)
	image := func(text string) string { return `{"image": "` + text + `"}` }
	field := func(text string) string {
		return crlf("--b", `Content-Disposition: form-data; name="image"`, "Content-Type: text/plain", "", text, "--b--")
	}
	for name, c := range map[string]struct {
		contentType, body string
		code              api.Code
		says              []string
	}{
		"JSON: picture":            {typeJSON, picture, api.BadRequest, []string{"it is a picture", "image/jpeg"}},
		"JSON: base64":             {typeJSON, text, api.BadRequest, []string{"base64 alone", `{"image"`}},
		"JSON: data URL":           {typeJSON, "data:image/jpeg;base64," + text, api.BadRequest, []string{"base64 alone"}},
		"JSON: Python's dict":      {typeJSON, `{'image': '` + text + `'}`, api.BadRequest, []string{"Python", "json.dumps"}},
		"JSON: a form":             {typeJSON, field(text), api.BadRequest, []string{"multipart form"}},
		"JSON: URL-encoded":        {typeJSON, "image=" + text, api.BadRequest, []string{"URL-encoded form"}},
		"JSON: raw bytes":          {typeJSON, image(picture), api.BadRequest, []string{"not UTF-8", "encode them as base64"}},
		"JSON: escaped bytes":      {typeJSON, image(`\xff\xd8\xff`), api.BadRequest, []string{"encode them as base64"}},
		"JSON: list of raw bytes":  {typeJSON, `{"images": ["` + picture + `"]}`, api.BadRequest, []string{"not UTF-8", "encode them as base64"}},
		"JSON: bytes as Latin-1":   {typeJSON, image(`\u00ff\u00d8\u00ff\u00e0\u0000\u0010JFIF`), api.BadBase64, []string{"bytes as they are", "base64"}},
		"JSON: bytes replaced":     {typeJSON, image("\ufffd\ufffd\ufffd\ufffd\\u0000\\u0010JFIF"), api.BadBase64, []string{"read as text", "U+FFFD"}},
		"JSON: null":               {typeJSON, `{"image": null}`, api.BadRequest, []string{"null", "variable", "empty"}},
		"JSON: null in a list":     {typeJSON, `{"images": [null]}`, api.BadRequest, []string{"null", "variable"}},
		"JSON: list of numbers":    {typeJSON, `{"image": [255, 216, 255]}`, api.BadRequest, []string{"list of numbers", "base64"}},
		"JSON: lists of numbers":   {typeJSON, `{"images": [[255, 216, 255]]}`, api.BadRequest, []string{"list of numbers", "base64"}},
		"JSON: numbers for images": {typeJSON, `{"images": [255, 216, 255]}`, api.BadRequest, []string{"number", "all of them together"}},
		"JSON: list of texts":      {typeJSON, `{"image": ["` + text + `"]}`, api.BadRequest, []string{"images"}},
		"JSON: Node's Buffer":      {typeJSON, `{"image": {"type": "Buffer", "data": [255, 216]}}`, api.BadRequest, []string{"Buffer", "base64"}},
		"JSON: File as object":     {typeJSON, `{"image": {}}`, api.BadRequest, []string{"object", "File", "base64"}},
		"JSON: Python's bytes":     {typeJSON, image("b'" + text + "'"), api.BadBase64, []string{"Python", ".decode()"}},
		"JSON: Python's raw bytes": {typeJSON, image(`b'\\xff\\xd8\\xff'`), api.BadBase64, []string{"Python", "base64.b64encode"}},
		"JSON: [object File]":      {typeJSON, image("[object File]"), api.BadBase64, []string{"JavaScript", "FormData"}},
		"JSON: undefined":          {typeJSON, image("undefined"), api.BadBase64, []string{"variable", "empty"}},
		"JSON: fakepath":           {typeJSON, image(`C:\\fakepath\\cat.jpg`), api.BadBase64, []string{"fakepath", "files[0]"}},
		"JSON: path":               {typeJSON, image("/home/ann/cat.jpg"), api.BadBase64, []string{"file's name", "@"}},
		"JSON: Windows path":       {typeJSON, image(`C:\\pictures\\cat.PNG`), api.BadBase64, []string{"file's name"}},
		"JSON: URL":                {typeJSON, image("https://example.org/cat.jpg"), api.BadBase64, []string{"web address", "fetches nothing"}},
		"JSON: S3":                 {typeJSON, image("s3://bucket/cat.jpg"), api.BadBase64, []string{"address", "fetches nothing"}},
		"JSON: blob":               {typeJSON, image("blob:https://example.org/1"), api.BadBase64, []string{"blob", "Blob itself"}},
		"JSON: JSON twice":         {typeJSON, image(`\"` + text + `\"`), api.BadBase64, []string{"quotation marks", "twice"}},
		"JSON: data URL twice":     {typeJSON, image("data:image/png;base64,data:image/png;base64," + text), api.BadBase64, []string{"within a data: URL"}},
		"JSON: percent-encoded":    {typeJSON, image("%2F9j%2F4AAQ"), api.BadBase64, []string{"percent-encoded"}},
		"JSON: hexadecimal":        {typeJSON, image(hex.EncodeToString([]byte(picture))), api.UnsupportedFormat, []string{"hexadecimal", "base64"}},
		"JSON: capital hex":        {typeJSON, image(strings.ToUpper(hex.EncodeToString([]byte(picture)))), api.UnsupportedFormat, []string{"hexadecimal"}},
		"JSON: base64 twice":       {typeJSON, image(b64(text)), api.UnsupportedFormat, []string{"encoded twice"}},
		"form: Python's bytes":     {"multipart/form-data; boundary=b", field("b'" + text + "'"), api.BadBase64, []string{"Python"}},
		"form: [object Blob]":      {"multipart/form-data; boundary=b", field("[object Blob]"), api.BadBase64, []string{"[object File]"}},
		"form: fakepath":           {"multipart/form-data; boundary=b", field(`C:\fakepath\cat.jpg`), api.BadBase64, []string{"fakepath"}},
		"form: file name":          {"multipart/form-data; boundary=b", field("@cat.jpg"), api.BadBase64, []string{"file's name", "@"}},
		"form: URL":                {"multipart/form-data; boundary=b", field("http://example.org/cat.jpg"), api.BadBase64, []string{"fetches nothing"}},
		"form: picture":            {"multipart/form-data; boundary=b", picture, api.BadRequest, []string{"it is a picture", "image/jpeg"}},
		"form: no boundary":        {"multipart/form-data", field(text), api.BadRequest, []string{"boundary", "library"}},
		"form: odd encoding": {"multipart/form-data; boundary=b", strings.Replace(field(text), "Content-Type: text/plain", "Content-Transfer-Encoding: x-uuencode", 1),
			api.BadRequest, []string{"x-uuencode", "base64"}},
		"form: damaged base64": {"multipart/form-data; boundary=b", strings.Replace(field("abc"), "Content-Type: text/plain", "Content-Transfer-Encoding: base64", 1),
			api.BadBase64, []string{"length"}},
		"URL-encoded: file name":     {typeURL, "image=cat.jpg", api.BadBase64, []string{"file's name"}},
		"URL-encoded: other field":   {typeURL, "img=" + text, api.BadParameter, []string{"img", "file or image"}},
		"URL-encoded: unknown field": {typeURL, "top_k=1&img=" + text, api.BadParameter, []string{"img"}},
		"raw: JSON":                  {"", image(text), api.UnsupportedFormat, []string{"application/json"}},
		"raw: form":                  {"image/jpeg", field(text), api.UnsupportedFormat, []string{"multipart form", "boundary"}},
		"raw: URL-encoded":           {"text/plain", "image=" + text, api.UnsupportedFormat, []string{"URL-encoded form"}},
		"raw: URL":                   {"text/plain", "https://example.org/cat.jpg\n", api.UnsupportedFormat, []string{"fetches nothing"}},
		"raw: file name":             {"image/jpeg", "cat.jpg", api.UnsupportedFormat, []string{"file's name"}},
		"raw: Python's bytes":        {"", `b'\xff\xd8\xff'`, api.UnsupportedFormat, []string{"Python"}},
		"raw: hexadecimal":           {"text/plain", hex.EncodeToString([]byte(picture)), api.UnsupportedFormat, []string{"hexadecimal"}},
		"raw: damaged base64":        {"text/plain", text[:len(text)-5], api.UnsupportedFormat, []string{"base64 that is damaged"}},
		"raw: [object Object]":       {"", "[object Object]", api.UnsupportedFormat, []string{"JavaScript"}},
		"raw: null":                  {"", "null", api.UnsupportedFormat, []string{"variable", "empty"}},
		"raw: another text":          {"text/plain", "hello, this is no picture", api.UnsupportedFormat, []string{"not a picture that vidi knows"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := ready(sniffing(), nil)
			w := post(s, "/predict", c.contentType, strings.NewReader(c.body))
			wantProblem(t, w, c.code)
			for _, says := range c.says {
				if !strings.Contains(w.Body.String(), says) && !strings.Contains(w.Body.String(), strings.ReplaceAll(says, `"`, `\"`)) {
					t.Errorf("it does not say %q: %s", says, w.Body)
				}
			}
		})
	}
}

// curl's -d takes the line breaks out of a picture, and says that it sends a form.
func TestDamageByCurlIsNamed(t *testing.T) {
	s, _ := ready(&fake{classify: func(context.Context, []byte) error {
		return &preprocess.Error{Code: preprocess.CorruptImage, Detail: "the PNG is damaged"}
	}}, nil)
	w := post(s, "/predict", "application/x-www-form-urlencoded", strings.NewReader("\x89PNG\x1a"))
	wantProblem(t, w, api.CorruptImage)
	if !strings.Contains(w.Body.String(), "--data-binary") {
		t.Errorf("it does not say how to send it: %s", w.Body)
	}
	if w = post(s, "/predict", "image/png", strings.NewReader("\x89PNG\x1a")); strings.Contains(w.Body.String(), "curl") {
		t.Errorf("it blames curl: %s", w.Body)
	}
}

func FuzzURLEncoded(f *testing.F) {
	for _, seed := range []string{"image=YQ%3D%3D&top_k=2", "file=data:image/png;base64,YQ==&image=%ff%d8", "top_k=1", "image=%4", "&&&image=", "lang=zh&lang=zh"} {
		f.Add(seed)
	}
	fuzz(f, "application/x-www-form-urlencoded")
}

// FuzzParseHeader: a lenient reading of a header is the strict one where there is such, and ends.
func FuzzParseHeader(f *testing.F) {
	for _, seed := range []string{"", "multipart/form-data; boundary=a=b", `form-data; name="file"; filename=my picture.jpg`, `a; b="`, ";=;=", "a; b; c=d", "a;B=1;b=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		value, parameters := parseHeader(header)
		if strings.ToLower(value) != value || len(parameters) > len(header) {
			t.Errorf("%q is %q with %v", header, value, parameters)
		}
	})
}
