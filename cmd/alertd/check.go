package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/common/model"

	"alertd/config"
	"alertd/rules"
)

type checkCmd struct {
	Config  string   `placeholder:"FILE" help:"Check the daemon's own configuration too."`
	Rules   string   `placeholder:"DIR" help:"Folder with rule files, routing.yaml and health.yaml. Default: those that alertd ships."`
	Explain bool     `help:"Say of each rule how it is evaluated."`
	Files   []string `arg:"" optional:"" help:"Check these files instead of a folder."`
}

// checked is what a check has found so far.
type checked struct {
	problems []string
	warnings []string
	sets     []*rules.Set
}

// Run checks files and prints every problem in them.
func (c *checkCmd) Run(std streams) error {
	if c.Rules != "" && len(c.Files) > 0 {
		return &usageError{msg: "--rules and files at once", hint: "alertd check --rules " + c.Rules + ", or alertd check " + strings.Join(c.Files, " ")}
	}
	var found checked
	if c.Config != "" {
		found.config(c.Config)
	}
	switch {
	case len(c.Files) > 0:
		found.files(c.Files)
	case c.Rules != "":
		if info, err := os.Stat(c.Rules); err != nil || !info.IsDir() {
			return &usageError{msg: fmt.Sprintf("--rules %s is not a folder", c.Rules), hint: "alertd check " + c.Rules + " for one file"}
		}
		found.folder(os.DirFS(c.Rules), c.Rules)
	default:
		found.folder(rules.Shipped(), "")
	}
	return found.report(std, c.Explain)
}

// config checks the daemon's own configuration.
func (f *checked) config(name string) {
	data, err := os.ReadFile(name)
	if err == nil {
		_, err = config.ParseConfig(name, data, os.LookupEnv, os.ReadFile)
	}
	f.fail("", err)
}

// folder checks what a daemon would run on. The shipped files have no dir.
func (f *checked) folder(fsys fs.FS, dir string) {
	policy, err := config.Load(fsys, os.LookupEnv, os.ReadFile)
	f.fail(dir, err)
	if policy == nil {
		return
	}
	f.warn(policy.Warnings)
	f.sets = append(f.sets, policy.Rules)
}

// files checks files one by one, each as what its name says that it is. What only shows in a whole folder, it cannot see.
func (f *checked) files(names []string) {
	for _, name := range names {
		data, err := os.ReadFile(name)
		stem := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
		switch {
		case err != nil:
		case stem == "routing":
			var warnings []config.Warning
			_, warnings, err = config.ParseRouting(name, data, os.LookupEnv, os.ReadFile)
			f.warn(warnings)
		case stem == "health":
			_, err = config.ParseHealth(name, data)
		default:
			var set *rules.Set
			if set, err = rules.Parse([]rules.File{{Name: name, Data: data}}); err == nil {
				f.sets = append(f.sets, set)
			}
		}
		f.fail("", err)
	}
}

// fail notes every problem that err joins, with the folder before the file's name, so that an editor finds it.
func (f *checked) fail(dir string, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // this very error, not one in it
		for _, e := range joined.Unwrap() {
			f.fail(dir, e)
		}
		return
	}
	text := err.Error()
	if name, _, ok := strings.Cut(text, ":"); ok && dir != "" {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			text = filepath.Join(dir, name) + text[len(name):]
		}
	}
	f.problems = append(f.problems, text)
}

func (f *checked) warn(warnings []config.Warning) {
	for _, w := range warnings {
		f.warnings = append(f.warnings, w.String())
	}
}

// report prints what was found. With problems it fails.
func (f *checked) report(std streams, explain bool) error {
	for _, p := range f.problems {
		fmt.Fprintln(std.err, p)
	}
	for _, w := range f.warnings {
		fmt.Fprintf(std.err, "%s (warning)\n", w)
	}
	if len(f.problems) > 0 {
		return &failure{err: errors.New(count(len(f.problems), "problem")), hint: "mend them and check again: a daemon that reloads keeps what it has until then"}
	}
	n := 0
	for _, set := range f.sets {
		n += len(set.Rules())
		if !explain {
			continue
		}
		for _, e := range set.Explain() {
			fmt.Fprintln(std.out, explained(e))
		}
	}
	_, err := fmt.Fprintf(std.out, "%s, %s, no problem\n", count(n, "alerting rule"), count(len(f.warnings), "warning"))
	return err
}

// explained says in words how a rule is evaluated.
func explained(e rules.Explanation) string {
	var b strings.Builder
	name := e.Record
	if e.Rule != nil {
		name = e.Rule.Name
	}
	fmt.Fprintf(&b, "%s:%d:%d: %s\n", e.File, e.Line, e.Column, name)
	if e.Occurrence != "" {
		fmt.Fprintf(&b, "  fires at once on an event of type %s\n", e.Occurrence)
		return b.String()
	}
	fmt.Fprintf(&b, "  %s\n", e.Expr)
	switch {
	case e.TicksOnly:
		b.WriteString("  evaluated whole, at the interval of its group only\n")
	case e.Keyed:
		fmt.Fprintf(&b, "  evaluated as samples arrive, key by key: %s\n", e.Partition)
	default:
		fmt.Fprintf(&b, "  evaluated as samples arrive, but whole: %s\n", e.Partition.Whole)
	}
	fmt.Fprintf(&b, "  woken by %s; looks back %s\n", strings.Join(e.Metrics, ", "), model.Duration(e.LookBack))
	return b.String()
}

// count is "1 rule" or "2 rules".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
