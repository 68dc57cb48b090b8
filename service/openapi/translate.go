package openapi

import (
	_ "embed"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// The languages that there is a page in, by their BCP 47 tags.
const (
	English = "en"
	Chinese = "zh-CN"
)

// translate puts a text of the page, in English, into the page's language.
type translate func(english string) string

func inEnglish(english string) string { return english }

// translation is one entry of page.zh.yaml.
type translation struct{ En, Zh string }

//go:embed page.zh.yaml
var chinese []byte

func translations() ([]translation, error) {
	var list []translation
	err := yaml.Unmarshal(chinese, &list)
	return list, err
}

// inChinese is what page.zh.yaml has. A text that it lacks stays English; a test names it.
func inChinese() translate {
	list, err := translations()
	if err != nil {
		panic(fmt.Errorf("openapi: page.zh.yaml: %w", err)) // it is in the binary, and tests read it
	}
	known := make(map[string]string, len(list))
	for _, e := range list {
		known[e.En] = e.Zh
	}
	return func(english string) string {
		if zh, ok := known[oneLine(english)]; ok {
			return zh
		}
		return english
	}
}

// oneLine is a text without the breaks that it was written with.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
