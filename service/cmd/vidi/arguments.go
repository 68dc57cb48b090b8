package main

import (
	"reflect"

	"github.com/alecthomas/kong"
)

// rawStrings has kong take text arguments byte by byte. Its own mappers pass them through JSON, which turns what is not UTF-8 into
// U+FFFD: a file whose name has such bytes would not be found.
func rawStrings() []kong.Option {
	text := func(ctx *kong.DecodeContext, target reflect.Value) error {
		token, err := ctx.Scan.PopValue("string")
		if err != nil {
			return err
		}
		target.SetString(token.String())
		return nil
	}
	path := func(ctx *kong.DecodeContext, target reflect.Value) error {
		token, err := ctx.Scan.PopValue("file")
		if err != nil {
			return err
		}
		name := token.String()
		if name != "" && name != "-" { // "" turns a default off
			name = kong.ExpandPath(name)
		}
		target.SetString(name)
		return nil
	}
	return []kong.Option{kong.KindMapper(reflect.String, kong.MapperFunc(text)), kong.NamedMapper("path", kong.MapperFunc(path))}
}

// helpCmd is --help as a command.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"A command, such as classify, or models add."`
}

// Run prints what `vidi COMMAND --help` prints.
func (c *helpCmd) Run(a *app) error {
	words := c.Command
	if len(words) > 0 && words[0] == "help" { // `vidi help help` is no riddle
		words = nil
	}
	if code := run(append(words[:len(words):len(words)], "--help"), a); code != 0 {
		return &exitError{code: code}
	}
	return nil
}
