package httpapi

import (
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// parameters are what a request may choose, wherever it says so: in the query, in form fields or in JSON.
type parameters struct {
	options  classify.Options
	language string        // "en" or "zh"
	model    string        // "" is the default
	deadline time.Duration // from the end of the upload; 0 is none
	given    []string
}

func (s *Server) defaults() parameters {
	return parameters{options: classify.Options{TopK: 3, Image: s.cfg.Image}, language: "en", deadline: s.cfg.Deadline}
}

// parameter is how one parameter is read. Its text is checked by set, which reports whether it is allowed.
type parameter struct {
	name  string
	kind  jsontext.Kind // in JSON: '0' is a number, '"' a string, 't' true or false
	needs string        // what is allowed, to follow "must be "
	set   func(p *parameters, text string) bool
}

var allParameters = []parameter{
	{"top_k", '0', "a whole number, 1 or more", func(p *parameters, text string) bool {
		n, ok := wholeNumber(text)
		p.options.TopK = int(min(n, math.MaxInt32)) // more than the classes is clamped later
		return ok && n >= 1
	}},
	{"model", '"', "a model's name, 1 to 64 letters, digits, dots, dashes and underscores, alone or with @ and a version or alias", func(p *parameters, text string) bool {
		p.model = text
		name, version, exact := strings.Cut(text, "@")
		return model.ValidName(name) && (!exact || version != "" && utf8.RuneCountInString(version) <= 64 && !strings.Contains(version, "@"))
	}},
	{"threshold", '0', "a percentage, 0 to 100", func(p *parameters, text string) bool {
		percent, ok := number(text)
		p.options.Threshold = percent / 100
		return ok && percent >= 0 && percent <= 100
	}},
	{"parents", 't', "true (say the groups that the names belong to) or false", func(p *parameters, text string) (ok bool) {
		p.options.Parents, ok = flag(text)
		return ok
	}},
	{"lang", '"', "en or zh, with or without a region as in zh-CN", func(p *parameters, text string) (ok bool) {
		p.language, ok = answerLanguage(text)
		return ok
	}},
	{"decode", '"', "exact or fast", func(p *parameters, text string) bool {
		p.options.Image.Decode = preprocess.Decode(text)
		return p.options.Image.Decode == preprocess.Exact || p.options.Image.Decode == preprocess.Fast
	}},
	{"exif", 't', "true (turn the picture as its EXIF data says) or false", func(p *parameters, text string) bool {
		turn, ok := flag(text)
		p.options.Image.IgnoreEXIF = !turn
		return ok
	}},
	{"deadline_ms", '0', "a whole number of milliseconds, 1 to 3600000", func(p *parameters, text string) bool {
		n, ok := wholeNumber(text)
		p.deadline = time.Duration(min(n, math.MaxInt32)) * time.Millisecond
		return ok && n >= 1 && n <= 3_600_000
	}},
}

func findParameter(name string) *parameter {
	for i := range allParameters {
		if allParameters[i].name == name {
			return &allParameters[i]
		}
	}
	return nil
}

func isParameter(name string) bool { return findParameter(name) != nil }

func parameterNames() string {
	names := make([]string, len(allParameters))
	for i, p := range allParameters {
		names[i] = p.name
	}
	return strings.Join(names, ", ")
}

func badParameter(name string) error {
	return fail(api.BadParameter, "%s must be %s", name, findParameter(name).needs)
}

// readQuery reads the parameters of the address.
func (p *parameters) readQuery(raw string) error {
	if raw == "" {
		return nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return fail(api.BadRequest, "the query, behind the question mark, is malformed").because(err)
	}
	for name, values := range query {
		if !isParameter(name) {
			return fail(api.BadParameter, "the query parameter %s is unknown; there are %s", quote(name), parameterNames())
		}
		for _, value := range values {
			if err := p.setText(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// setText sets the parameter from its text in a query or form. The name must be known.
func (p *parameters) setText(name, text string) error {
	if slices.Contains(p.given, name) {
		return fail(api.BadParameter, "%s is given more than once", name)
	}
	p.given = append(p.given, name)
	if !findParameter(name).set(p, text) {
		return badParameter(name)
	}
	return nil
}

// setJSON sets the parameter from a JSON value, which must be of the right kind: "5" is no number, and null no choice.
func (p *parameters) setJSON(name string, value jsontext.Value) error {
	kind := value.Kind()
	if kind == 'f' {
		kind = 't'
	}
	if wanted := findParameter(name); kind == '"' && wanted.kind != '"' {
		return fail(api.BadParameter, "%s must be %s, in JSON without quotation marks", name, wanted.needs)
	} else if kind != wanted.kind || len(value) > maxTextBytes {
		return badParameter(name)
	}
	text := string(value)
	if kind == '"' {
		unquoted, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return jsonError(err)
		}
		text = string(unquoted)
	}
	return p.setText(name, text)
}

// flag reads true or false as programs write them into addresses and forms: Python's True, a checkbox's on, 1, yes.
func flag(text string) (value, ok bool) {
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		return true, true
	case "false", "0", "no", "off":
		return false, true
	}
	return false, false
}

// languageTag is a language of ours, with the regions and scripts that systems add: en-US, zh_CN, zh-Hans-CN.
var languageTag = regexp.MustCompile(`^([Ee][Nn]|[Zz][Hh])([-_][A-Za-z0-9]{1,8}){0,3}$`)

// answerLanguage is the language of names that a tag asks for: "en" or "zh".
func answerLanguage(tag string) (language string, ok bool) {
	if !languageTag.MatchString(tag) {
		return "", false
	}
	return strings.ToLower(tag[:2]), true
}

// jsonNumber keeps Go's further spellings out: 0x10, 1_000, Inf, NaN.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func number(text string) (float64, bool) {
	if !jsonNumber.MatchString(text) {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// wholeNumber takes any spelling of a whole number, 1e3 too. Beyond int64 it is the largest one.
func wholeNumber(text string) (int64, bool) {
	f, ok := number(text)
	if !ok || f != math.Trunc(f) {
		return 0, false
	}
	if f >= math.MaxInt64 {
		return math.MaxInt64, true
	}
	return int64(max(f, math.MinInt64)), true
}

// quote shows a name that a client made up.
func quote(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "…"
	}
	return strconv.Quote(s)
}
