package main

import (
	"cmp"
	"fmt"
	"text/tabwriter"

	"github.com/vidi-vision/vidi/service/keys"
)

type keysCmd struct {
	New  keysNewCmd  `cmd:"" help:"Make a key, print it once, and add its line to the key file."`
	List keysListCmd `cmd:"" aliases:"ls" help:"List the keys of a file, and check it."`
	Rm   keysRmCmd   `cmd:"" aliases:"remove,delete" help:"Take a key out of a file: it is refused from then on."`
}

type keysNewCmd struct {
	Name  string   `arg:"" help:"Who the key is for; it appears in the log."`
	Role  []string `help:"infer (predictions), metrics (/metrics, /stats.json and /models), admin (everything); repeatable." required:"" placeholder:"ROLE"`
	Rate  string   `help:"How often it may be used: 20/s, 600/m, 1000/h." placeholder:"N/UNIT"`
	Burst int      `help:"Pictures at once; default: the rate's number." placeholder:"N"`
	Keys  string   `help:"Key file to add the line to; it is made if need be. Without it the line is printed." env:"VIDI_KEYS" placeholder:"FILE"`
}

// Run prints the key to standard output, where it can be piped to a safe place, and everything else to standard error.
func (c *keysNewCmd) Run(a *app) error {
	line := keys.Line{Name: c.Name, Rate: c.Rate, Burst: c.Burst}
	for _, role := range c.Role {
		line.Roles = append(line.Roles, keys.Role(role))
	}
	key := keys.New()
	line.Hash(key)
	if err := line.Check(); err != nil {
		return usageError(err)
	}
	if c.Keys == "" {
		fmt.Fprintf(a.stderr, "Add this line to the key file:\n%s\nThe key follows. It is shown this once: only its hash is kept.\n", &line)
	} else {
		if err := keys.Append(c.Keys, line); err != nil {
			return &exitError{code: exitSomeFailed, err: err}
		}
		fmt.Fprintf(a.stderr, "%s is in %s; a running server knows it within seconds. The key follows. It is shown this once: only its hash is kept.\n", c.Name, c.Keys)
	}
	fmt.Fprintln(a.stdout, key)
	return nil
}

type keysListCmd struct {
	Keys string `help:"Key file." env:"VIDI_KEYS" required:"" placeholder:"FILE"`
}

// Run lists names, roles and rates; the hashes are of no use to people.
func (c *keysListCmd) Run(a *app) error {
	lines, err := keys.ReadFile(c.Keys)
	if err != nil {
		return &exitError{code: exitSomeFailed, err: err}
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tROLES\tRATE\tBURST")
	for _, l := range lines {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.Name, l.RoleList(), cmp.Or(l.Rate, "-"), orDash(zeroBlank(l.Burst)))
	}
	return table.Flush()
}

type keysRmCmd struct {
	Name string `arg:"" help:"The key's name."`
	Keys string `help:"Key file." env:"VIDI_KEYS" required:"" placeholder:"FILE"`
}

// Run rewrites the file without the key's line.
func (c *keysRmCmd) Run(a *app) error {
	if err := keys.Remove(c.Keys, c.Name); err != nil {
		return &exitError{code: exitSomeFailed, err: err}
	}
	fmt.Fprintf(a.stderr, "%s is no longer in %s; a running server refuses it within seconds.\n", c.Name, c.Keys)
	return nil
}
