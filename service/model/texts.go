package model

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How long a card's texts may be, in characters: a line for a name, a paragraph for the rest.
const (
	maxNameRunes  = 200
	maxOtherRunes = 4000
)

// obeyed reports whether terminals obey r instead of showing it: control characters, and line ends that look like none. Marks that
// turn the order of letters around are a part of some languages: who shows them has to keep them in their place.
func obeyed(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// checkText says what is wrong with a text that is to be shown, as the end of a sentence.
func checkText(text string, most int) error {
	if n := utf8.RuneCountInString(text); n > most {
		return fmt.Errorf("has %d characters, %.30q…; at most %d are allowed", n, text, most)
	}
	for _, r := range text {
		if obeyed(r) {
			return fmt.Errorf("holds a control character, %q, in %.60q", r, text)
		}
	}
	return nil
}

// checkNames is checkText for a name in several languages.
func checkNames(names map[string]string) error {
	for language, name := range names {
		if err := errors.Join(checkText(language, maxNameRunes), checkText(name, maxNameRunes)); err != nil {
			return err
		}
	}
	return nil
}

// checkTexts checks what a card says in words, but for its labels and groups.
func (c Card) checkTexts(check func(ok bool, format string, args ...any)) {
	text := func(field, text string, most int) {
		if err := checkText(text, most); err != nil {
			check(false, "%s %w", field, err)
		}
	}
	text("description", c.Description, maxOtherRunes)
	text("licence", c.Licence, maxOtherRunes)
	text("source", c.Source, maxOtherRunes)
	text("weights_sha256", c.WeightsSHA256, maxNameRunes)
	if c.Trial == nil {
		return
	}
	text("trial.vidi", c.Trial.Vidi, maxNameRunes)
	text("trial.torch", c.Trial.Torch, maxNameRunes)
	for i, answer := range c.Trial.Golden {
		text(fmt.Sprintf("trial.golden[%d].label", i), answer.Label, maxNameRunes)
	}
	for i, tried := range c.Trial.Engines {
		lines := strings.ReplaceAll(tried.Failure, "\n", " ") // it may have several
		text(fmt.Sprintf("trial.engines[%d].failure", i), lines, maxOtherRunes)
	}
}
