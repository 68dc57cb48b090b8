package operators

import (
	"fmt"
	"strings"
)

// kind is what a token is.
type kind byte

const (
	word kind = iota
	number
	text
	sign
)

// token is a piece of code. Lines count from 1.
type token struct {
	kind kind
	text string // of a string what is between its quotes, as it stands there
	line int
	at   int // its place in its line, from 0
}

func (t token) is(text string) bool { return t.kind != number && t.kind != textKind && t.text == text }

const textKind = text

// noCode is where code is no longer what exporters write.
type noCode struct {
	line int
	why  string
}

// tokens takes code apart as libtorch does (frontend/lexer.h), but for spaces and lines, which do not change what a name means. What
// PyTorch's exporters never write, and two readers might take in two ways, is refused: comments, other quotes, joined lines,
// characters that are not ASCII outside of strings.
func tokens(source []byte) (list []token, wrong *noCode) {
	code, line, begin := string(source), 1, 0 // names are parts of one text: no copies
	list = make([]token, 0, len(code)/4)
	for i := 0; i < len(code); {
		c := code[i]
		switch {
		case c == '\n':
			line++
			i++
			begin = i
		case c == ' ':
			i++
		case isLetter(c):
			end := i + 1
			for end < len(code) && (isLetter(code[end]) || isDigit(code[end])) {
				end++
			}
			list = append(list, token{word, code[i:end], line, i - begin})
			i = end
		case strings.HasPrefix(code[i:], "..."):
			list = append(list, token{sign, "...", line, i - begin})
			i += 3
		case isDigit(c), c == '.' && i+1 < len(code) && isDigit(code[i+1]):
			end := numberEnd(code, i)
			if end < len(code) && (isLetter(code[end]) || isDigit(code[end])) {
				return nil, &noCode{line, "has a number that runs into a name"}
			}
			list = append(list, token{number, code[i:end], line, i - begin})
			i = end
		case c == '"':
			end, ok := stringEnd(code, i)
			if !ok {
				return nil, &noCode{line, "has a string that does not end in its line, or of three quotes"}
			}
			list = append(list, token{text, code[i+1 : end-1], line, i - begin})
			i = end
		case strings.IndexByte("()[]{}.,:=+-*/%<>!&|~^@", c) >= 0:
			list = append(list, token{sign, code[i : i+1], line, i - begin})
			i++
		default:
			return nil, &noCode{line, fmt.Sprintf("has the character %q, which no exporter writes there", rune(c))}
		}
	}
	return list, nil
}

func isLetter(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// numberEnd is where the decimal number at i ends: 1, 1., .5, 1.5e-05, 2j.
func numberEnd(code string, i int) int {
	digits := func(i int) int {
		for i < len(code) && isDigit(code[i]) {
			i++
		}
		return i
	}
	i = digits(i)
	if i < len(code) && code[i] == '.' {
		i = digits(i + 1)
	}
	if i < len(code) && (code[i] == 'e' || code[i] == 'E') {
		exponent := i + 1
		if exponent < len(code) && (code[exponent] == '-' || code[exponent] == '+') {
			exponent++
		}
		if end := digits(exponent); end > exponent {
			i = end
		}
	}
	if i < len(code) && code[i] == 'j' {
		i++
	}
	return i
}

// stringEnd is behind the closing quote of the string at i.
func stringEnd(code string, i int) (end int, ok bool) {
	if strings.HasPrefix(code[i:], `"""`) {
		return 0, false
	}
	for end = i + 1; end < len(code); end++ {
		switch code[end] {
		case '\n':
			return 0, false
		case '\\':
			if end++; end < len(code) && code[end] == '\n' {
				return 0, false
			}
		case '"':
			return end + 1, true
		}
	}
	return 0, false
}
