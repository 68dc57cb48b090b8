package httpapi

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// Each parameter, in each of the three places.
func TestParameters(t *testing.T) {
	exact := preprocess.Options{Decode: preprocess.Exact}
	for _, c := range []struct {
		name, text, json string
		want             classify.Options
	}{
		{"top_k", "1", "1", classify.Options{TopK: 1, Image: exact}},
		{"top_k", "5.0", "5e0", classify.Options{TopK: 5, Image: exact}},
		{"top_k", "1000000000", "1e9", classify.Options{TopK: 1_000_000_000, Image: exact}},                                 // H6: clamped by the classifier
		{"top_k", "9223372036854775808", "9223372036854775808", classify.Options{TopK: 1<<31 - 1, Image: exact}},            // 2^63
		{"top_k", "123456789012345678901234567890", "1e30", classify.Options{TopK: 1<<31 - 1, Image: exact}},                // far beyond
		{"threshold", "12.5", "12.5", classify.Options{TopK: 3, Threshold: 0.125, Image: exact}},                            // percent
		{"threshold", "0", "0", classify.Options{TopK: 3, Image: exact}},                                                    //
		{"threshold", "100", "1e2", classify.Options{TopK: 3, Threshold: 1, Image: exact}},                                  //
		{"model", "resnet18", `"resnet18"`, classify.Options{TopK: 3, Image: exact}},                                        //
		{"lang", "zh", `"zh"`, classify.Options{TopK: 3, Image: exact}},                                                     //
		{"decode", "fast", `"fast"`, classify.Options{TopK: 3, Image: preprocess.Options{Decode: preprocess.Fast}}},         //
		{"parents", "true", "true", classify.Options{TopK: 3, Parents: true, Image: exact}},                                 //
		{"parents", "false", "false", classify.Options{TopK: 3, Image: exact}},                                              //
		{"exif", "false", "false", classify.Options{TopK: 3, Image: preprocess.Options{Decode: "exact", IgnoreEXIF: true}}}, //
		{"exif", "true", "true", classify.Options{TopK: 3, Image: exact}},                                                   //
		{"deadline_ms", "60000", "60000", classify.Options{TopK: 3, Image: exact}},                                          //
	} {
		f := &fake{}
		s, _ := ready(f, nil)
		check := func(place string, display string) {
			t.Helper()
			if f.asked != c.want {
				t.Errorf("%s=%s in the %s: asked %+v, want %+v", c.name, c.text, place, f.asked, c.want)
			}
			want := "alp"
			if c.name == "lang" {
				want = "高山"
			}
			if display != want && c.name != "threshold" {
				t.Errorf("%s=%s in the %s: display is %s", c.name, c.text, place, display)
			}
		}
		display := func(a api.PredictResponse) string {
			if p := a.Results[0].Predictions; len(p) > 0 {
				return p[0].Display
			}
			return ""
		}
		check("query", display(decodeAnswer(t, post(s, "/predict?"+c.name+"="+c.text, "", strings.NewReader("picture")))))
		contentType, body := form(t, part{c.name, "", c.text}, part{"file", "a.jpg", "picture"})
		check("form", display(decodeAnswer(t, post(s, "/predict", contentType, body))))
		body = strings.NewReader(fmt.Sprintf(`{"%s": %s, "image": "%s"}`, c.name, c.json, b64("picture")))
		check("JSON", display(decodeAnswer(t, post(s, "/predict", "application/json", body))))
	}
}

// What programs write for true, false and a language, in the query and in a form. JSON has true and false of its own.
func TestOtherSpellingsOfParameters(t *testing.T) {
	ask := func(name, text string, check func(*fake, api.PredictResponse) bool) {
		t.Helper()
		f := &fake{}
		s, _ := ready(f, nil)
		inQuery := decodeAnswer(t, post(s, "/predict?"+name+"="+url.QueryEscape(text), "", strings.NewReader("picture")))
		if !check(f, inQuery) {
			t.Errorf("%s=%s in the query: asked %+v", name, text, f.asked)
		}
		contentType, body := form(t, part{name, "", text}, part{"file", "a.jpg", "picture"})
		if inForm := decodeAnswer(t, post(s, "/predict", contentType, body)); !check(f, inForm) {
			t.Errorf("%s=%s in a form: asked %+v", name, text, f.asked)
		}
	}
	for want, texts := range map[bool][]string{true: {"true", "True", "TRUE", "1", "yes", "Yes", "on"}, false: {"false", "False", "FALSE", "0", "no", "NO", "off"}} {
		for _, text := range texts {
			ask("parents", text, func(f *fake, _ api.PredictResponse) bool { return f.asked.Parents == want })
			ask("exif", text, func(f *fake, _ api.PredictResponse) bool { return f.asked.Image.IgnoreEXIF == !want })
		}
	}
	for want, texts := range map[string][]string{"高山": {"zh", "zh-CN", "zh_CN", "zh-Hans", "zh-Hans-CN", "zh-TW", "ZH"}, "alp": {"en", "en-US", "en_GB", "EN"}} {
		for _, text := range texts {
			ask("lang", text, func(_ *fake, a api.PredictResponse) bool { return a.Results[0].Predictions[0].Display == want })
		}
	}
	s, _ := ready(&fake{}, nil)
	body := strings.NewReader(`{"lang": "zh-CN", "image": "` + b64("picture") + `"}`)
	if got := decodeAnswer(t, post(s, "/predict", "application/json", body)).Results[0].Predictions[0].Display; got != "高山" {
		t.Errorf("zh-CN in JSON: %s", got)
	}
}

func TestServerDefaultsForPictures(t *testing.T) {
	f := &fake{}
	s, _ := ready(f, func(c *Config) { c.Image = preprocess.Options{Decode: preprocess.Fast, IgnoreEXIF: true} })
	decodeAnswer(t, post(s, "/predict", "", strings.NewReader("picture")))
	if !f.asked.Image.IgnoreEXIF || f.asked.Image.Decode != preprocess.Fast {
		t.Errorf("asked %+v", f.asked)
	}
	decodeAnswer(t, post(s, "/predict?exif=true&decode=exact", "", strings.NewReader("picture")))
	if f.asked.Image.IgnoreEXIF || f.asked.Image.Decode != preprocess.Exact {
		t.Errorf("asked %+v", f.asked)
	}
}

// H6, H7 and H18: what is refused in the query and in a form, and in JSON.
func TestBadParameters(t *testing.T) {
	for name, texts := range map[string][]string{
		"top_k":       {"-1", "0", "1.5", "five", "", " 5", "5 ", "+5", "0x10", "1_000", "NaN", "-9223372036854775809", "1e400", "05"},
		"threshold":   {"NaN", "Infinity", "-Inf", "-1", "101", "100.0001", "x", "1e400", "", "0x1p2"},
		"lang":        {"", "fr", "fr-CN", "zhuang", "zh-", "-zh", "zh CN", "chinese", "zh-CN.UTF-8", "en\n", "zh-a-b-c-d", "中文"},
		"decode":      {"", "quick"},
		"exif":        {"", "2", "-1", "01", "y", "t", "truefalse", " true", "null", "None"},
		"parents":     {"", "2", "-1", "01", "y", "t", "truefalse", " true", "null", "None"},
		"deadline_ms": {"0", "-1", "1.5", "3600001", "1e300", "x"},
		"model":       {"", ".", "..", "../../etc/passwd", "a\x00b", "a/b", strings.Repeat("a", 10_000), "模型", "-x"},
	} {
		for _, text := range texts {
			s, _ := ready(&fake{}, nil)
			t.Run(fmt.Sprintf("%s=%.20q", name, text), func(t *testing.T) {
				wantProblem(t, post(s, "/predict?"+name+"="+url.QueryEscape(text), "", strings.NewReader("picture")), api.BadParameter)
				contentType, body := form(t, part{name, "", text}, part{"file", "a.jpg", "picture"})
				w := post(s, "/predict", contentType, body)
				wantProblem(t, w, api.BadParameter)
				if !strings.Contains(w.Body.String(), `"detail":"`+name+" must be ") {
					t.Errorf("the field is not named: %s", w.Body)
				}
			})
		}
	}
	for name, values := range map[string][]string{
		"top_k":     {"-1", "0", "1.5", `"5"`, "null", "true", "[1]", "{}", "[[[[]]]]"},
		"threshold": {"-1", "101", `"50"`, "null", "1e400"},
		"lang":      {"1", `"fr"`, "null"},
		"parents":   {`"true"`, "1", "null", "[]"},
		"exif":      {`"true"`, "1", "null", "{}"},
		"model":     {"1", "null", `"../../etc/passwd"`, `"a\u0000b"`, `["resnet18"]`},
	} {
		for _, value := range values {
			s, _ := ready(&fake{}, nil)
			t.Run(name+": "+value, func(t *testing.T) {
				wantProblem(t, post(s, "/predict", "application/json", strings.NewReader(fmt.Sprintf(`{"image": "", "%s": %s}`, name, value))), api.BadParameter)
			})
		}
	}
}

func TestUnknownAndRepeatedParameters(t *testing.T) {
	s, _ := ready(&fake{}, nil)
	contentType, body := form(t, part{"top_k", "", "1"}, part{"file", "a", "picture"})
	unknownType, unknown := form(t, part{"topk", "", "1"}, part{"file", "a", "picture"})
	for name, c := range map[string]struct {
		target, contentType, body, names string
		code                             api.Code
	}{
		"unknown in the query":  {"/predict?topk=5", "", "picture", "topk", api.BadParameter},
		"twice in the query":    {"/predict?top_k=5&top_k=5", "", "picture", "top_k", api.BadParameter},
		"query and form":        {"/predict?top_k=5", contentType, fmt.Sprint(body), "top_k", api.BadParameter},
		"malformed query":       {"/predict?top_k=%zz", "", "picture", "", api.BadRequest},
		"unknown in JSON":       {"/predict", "application/json", `{"image": "", "topk": 5}`, "topk", api.BadParameter},
		"unknown in a form":     {"/predict", unknownType, fmt.Sprint(unknown), "topk", api.BadParameter},
		"unknown model":         {"/predict?model=resnet50", "", "picture", "resnet50", api.ModelNotFound},
		"unknown model in JSON": {"/predict", "application/json", `{"image": "", "model": "v1.0_x-y"}`, "v1.0_x-y", api.ModelNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(s, c.target, c.contentType, strings.NewReader(c.body))
			wantProblem(t, w, c.code)
			if !strings.Contains(w.Body.String(), c.names) {
				t.Errorf("%s is not named: %s", c.names, w.Body)
			}
		})
	}
}
