package httpapi

import (
	"mime"
	"strings"
)

// parseHeader splits a header such as Content-Type into its value, in small letters, and its
// parameters, whose names are. Where they are not as the standard has them, the lenient way of
// other servers is taken: a boundary with = or : in it is sent without quotation marks by
// programs that build forms by hand, and by libraries for mail.
func parseHeader(header string) (value string, parameters map[string]string) {
	value, parameters, err := mime.ParseMediaType(header)
	if err == nil {
		return value, parameters
	}
	value, rest, _ := strings.Cut(header, ";")
	parameters = map[string]string{}
	for more := true; more; {
		var name, text string
		name, rest, _ = strings.Cut(rest, "=")
		if rest = strings.TrimLeft(rest, " \t"); strings.HasPrefix(rest, `"`) {
			text, rest, _ = strings.Cut(rest[1:], `"`)
			_, rest, more = strings.Cut(rest, ";")
		} else {
			text, rest, more = strings.Cut(rest, ";")
		}
		name = strings.ToLower(strings.TrimSpace(name[strings.LastIndexByte(name, ';')+1:]))
		if name == "" {
			continue
		}
		if _, twice := parameters[name]; twice { // which one counts is anybody's guess
			text = ""
		}
		parameters[name] = strings.TrimSpace(text)
	}
	return strings.ToLower(strings.TrimSpace(value)), parameters
}
