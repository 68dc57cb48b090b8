package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/vidi-vision/vidi/service/model"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// The scripts hand the words of the line to `vidi complete`, and show what it answers.
var (
	//go:embed completion.bash
	bashScript string
	//go:embed completion.zsh
	zshScript string
	//go:embed completion.fish
	fishScript string
)

// Run prints the script.
func (c *completionCmd) Run(a *app) error {
	scripts := map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}
	_, err := fmt.Fprint(a.stdout, scripts[c.Shell])
	return err
}

// completeCmd answers the scripts. The words are those behind "vidi" up to the cursor; the last one, maybe empty, is to be completed.
type completeCmd struct {
	Words []string `arg:"" optional:""`
}

// askForFiles is answered where the shell should complete file names by itself.
const askForFiles = ":files"

// Run prints a candidate a line, with its explanation behind a tab. It never fails: a shell would show that in the middle of a line.
func (c *completeCmd) Run(ctx *kong.Context, a *app) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	for _, line := range candidates(ctx.Model.Node, words) {
		fmt.Fprintln(a.stdout, line)
	}
	return nil
}

// candidates are the lines for the last word.
func candidates(root *kong.Node, words []string) []string {
	last, node := words[len(words)-1], root
	var waiting *kong.Flag // a flag whose value comes next
	onlyValues := false
	for _, word := range words[:len(words)-1] {
		switch {
		case waiting != nil:
			if word != "=" { // bash takes --flag=value apart
				waiting = nil
			}
		case onlyValues:
		case word == "--":
			onlyValues = true
		case strings.HasPrefix(word, "-") && word != "-":
			name, _, given := strings.Cut(word, "=")
			if flag := findFlag(node, name); flag != nil && !flag.IsBool() && !given {
				waiting = flag
			}
		default:
			if child := findChild(node, word); child != nil {
				node = child
			}
		}
	}
	switch {
	case waiting != nil:
		return matching(valuesOf(waiting.Value), strings.TrimPrefix(last, "="), "")
	case strings.HasPrefix(last, "-") && last != "-" && !onlyValues:
		name, value, given := strings.Cut(last, "=")
		if flag := findFlag(node, name); given && flag != nil {
			return matching(valuesOf(flag.Value), value, name+"=")
		}
		return matching(flagsOf(node), last, "")
	}
	return matching(append(commandsOf(node), positionalsOf(node)...), last, "")
}

// matching is the lines that go on as prefix does, each with before in front of it.
func matching(lines []string, prefix, before string) []string {
	var found []string
	for _, line := range lines {
		if line == askForFiles {
			found = append(found, line)
		} else if strings.HasPrefix(line, prefix) {
			found = append(found, before+line)
		}
	}
	return found
}

func findChild(node *kong.Node, word string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == word || slices.Contains(child.Aliases, word) {
			return child
		}
	}
	return nil
}

// allFlags are those of node and of the commands above it, and those of its default command.
func allFlags(node *kong.Node) (flags []*kong.Flag) {
	if node.DefaultCmd != nil {
		flags = append(flags, node.DefaultCmd.Flags...)
	}
	for ; node != nil; node = node.Parent {
		flags = append(flags, node.Flags...)
	}
	return flags
}

func findFlag(node *kong.Node, word string) *kong.Flag {
	for _, flag := range allFlags(node) {
		if word == "--"+flag.Name || flag.Short != 0 && word == "-"+string(flag.Short) {
			return flag
		}
	}
	return nil
}

func flagsOf(node *kong.Node) (lines []string) {
	for _, flag := range allFlags(node) {
		if !flag.Hidden {
			lines = append(lines, candidate("--"+flag.Name, flag.Help))
		}
	}
	return lines
}

func commandsOf(node *kong.Node) (lines []string) {
	for _, child := range node.Children {
		if !child.Hidden && child.Type == kong.CommandNode {
			lines = append(lines, candidate(child.Name, child.Help))
		}
	}
	return lines
}

func positionalsOf(node *kong.Node) (lines []string) {
	for _, positional := range node.Positional {
		lines = append(lines, valuesOf(positional)...)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// valuesOf are what a flag or an argument can be: its choices, the models where it names one, else files.
func valuesOf(value *kong.Value) (lines []string) {
	switch {
	case value.Enum != "":
		for _, choice := range value.EnumSlice() {
			if choice != "" {
				lines = append(lines, choice)
			}
		}
		return lines
	case value.Name == "model" || value.Name == "against":
		return append(modelNames(), askForFiles)
	case value.Target.Kind() == reflect.String, value.Target.Type() == reflect.TypeFor[[]string]():
		return []string{askForFiles}
	}
	return nil // a number
}

// mostModels bounds how long a key press waits: to look at a model takes some milliseconds.
const mostModels = 200

// modelNames are those of the user's folder and of what is built in.
func modelNames() (lines []string) {
	folder := cmp.Or(model.Folder(os.Getenv("VIDI_MODELS")), model.DefaultFolder())
	if files, err := os.ReadDir(string(folder)); err != nil || len(files) > mostModels {
		return nil
	}
	entries, err := folder.List()
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.Err == nil && !slices.Contains(lines, e.Name) {
			lines = append(lines, e.Name)
		}
	}
	return lines
}

// candidate is a word with the first sentence of its help.
func candidate(word, help string) string {
	sentence, _, _ := strings.Cut(help, ". ")
	return word + "\t" + strings.TrimSuffix(sentence, ".")
}
