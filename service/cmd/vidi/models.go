package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/vidi-vision/vidi/service/model"
)

type modelsCmd struct {
	Models string `help:"Folder of models." default:"${models}" env:"VIDI_MODELS" type:"path" placeholder:"DIR"`
	Format string `help:"${enum}." enum:"text,json" default:"text"`
}

// modelLine is one model in the JSON form of `vidi models`.
type modelLine struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Precision   string `json:"precision"`
	Classes     int    `json:"classes"` // 0 for a file without a card: known when it is loaded
	Bytes       int64  `json:"bytes"`
	Licence     string `json:"licence"`
	Description string `json:"description"`
	File        string `json:"file"`
	Default     bool   `json:"default"`
	Error       string `json:"error,omitempty"`
}

// Run lists the models by looking at their files; libtorch is not opened.
func (c *modelsCmd) Run(a *app) error {
	folder := model.Folder(c.Models)
	entries, err := folder.List()
	if err != nil {
		return startFailure(err)
	}
	if len(entries) == 0 && c.Format == "text" {
		fmt.Fprintf(a.stderr, "There is no model in %s yet. `make model` in vidi's source tree makes one; or copy a TorchScript file (.pt) there.\n", folder)
		return nil
	}
	lines := make([]modelLine, 0, len(entries))
	defaultSeen := false
	for _, e := range entries {
		line := modelLine{Name: e.Name, File: e.Path}
		if e.Err != nil {
			line.Error = e.Err.Error()
		} else {
			line.Bytes, line.Default = e.File.Bytes, !defaultSeen
			defaultSeen = true
			if card := e.File.Card; card != nil {
				line.Version, line.Precision, line.Classes = card.Version, cmp.Or(card.Precision, "fp32"), len(card.Labels)
				line.Licence, line.Description = card.Licence, card.Description
			} else {
				line.Description = "a TorchScript file without a card"
			}
		}
		lines = append(lines, line)
	}
	if c.Format == "json" {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(lines)
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tVERSION\tPRECISION\tCLASSES\tMB\tLICENCE\tDESCRIPTION")
	for _, l := range lines {
		if l.Error != "" {
			fmt.Fprintf(table, "%s\t-\t-\t-\t-\t-\tcannot be used: %s\n", l.Name, strings.SplitN(l.Error, "\n", 2)[0])
			continue
		}
		name := l.Name
		if l.Default {
			name += " (default)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.1f\t%s\t%s\n", name, orDash(l.Version), orDash(l.Precision), orDash(zeroBlank(l.Classes)),
			float64(l.Bytes)/1e6, orDash(l.Licence), l.Description)
	}
	return table.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func zeroBlank(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
