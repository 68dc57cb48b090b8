package openapi

import (
	"html"
	"html/template"
	"regexp"
	"strings"
)

var (
	code     = regexp.MustCompile("`([^`]+)`")
	linkText = regexp.MustCompile(`\[([^\]]+)\]\(([^)\s]+)\)`)
)

// inline makes `code` of a line code and [text](address) a link, and everything else text.
func inline(line string) template.HTML {
	line = linkText.ReplaceAllString(html.EscapeString(line), `<a href="$2">$1</a>`)
	return template.HTML(code.ReplaceAllString(line, "<code>$1</code>"))
}

// prose reads as much CommonMark as the document uses: paragraphs, `code`, and blocks of code by four spaces. It puts
// each paragraph into another language, and leaves code as it is.
func prose(text string, t translate) template.HTML {
	var b strings.Builder
	for block := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n\n") {
		if strings.HasPrefix(block, "    ") {
			// On a phone it scrolls sideways, and shall by the keyboard too.
			b.WriteString(`<pre tabindex="0">` + html.EscapeString(strings.ReplaceAll(block[4:], "\n    ", "\n")) + "</pre>\n")
			continue
		}
		if block != "" {
			b.WriteString("<p>" + string(inline(t(block))) + "</p>\n")
		}
	}
	return template.HTML(b.String())
}
