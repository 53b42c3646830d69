package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"alertd/app"
	"alertd/config"
	"alertd/lint"
	"alertd/router"
	"alertd/rules"
	"alertd/runbooks"
)

type checkCmd struct {
	Config  string            `placeholder:"FILE" help:"Check the daemon's own configuration too; its check.lints count."`
	Rules   string            `placeholder:"DIR" help:"Folder with rule files, routing.yaml and health.yaml. Default: those that alertd ships."`
	Lint    map[string]string `placeholder:"NAME=SEVERITY" help:"How bad a lint is: error, warning or off. The name all stands for those that are not named."`
	Lints   bool              `help:"List the lints instead."`
	Links   bool              `help:"Try links to runbooks on other servers, and to dashboards."`
	URL     string            `name:"url" placeholder:"URL" help:"Ask this daemon which metrics have arrived."`
	Explain bool              `help:"Say of each rule how it is evaluated."`
	Output  string            `name:"output" short:"o" enum:"text,json,github" default:"text" help:"How to print: text, json, or github for annotations in a workflow."`
	Files   []string          `arg:"" optional:"" help:"Check these files instead of a folder."`
}

// Run checks files and prints every problem in them.
func (c *checkCmd) Run(ctx context.Context, std streams) error {
	switch {
	case c.Lints:
		return listLints(std.out)
	case c.Rules != "" && len(c.Files) > 0:
		return &usageError{msg: "--rules and files at once", hint: "alertd check --rules " + c.Rules + ", or alertd check " + strings.Join(c.Files, " ")}
	case c.Explain && c.Output != "text":
		return &usageError{msg: "--explain is for people, and prints text only", hint: "alertd check --explain"}
	}
	found := checked{dir: c.Rules, external: c.URL, severities: lint.Severities{}}
	if c.Config != "" {
		found.config(c.Config)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Lint)) {
		severity, err := lint.ParseSeverity(c.Lint[name])
		if err == nil {
			err = found.severities.Set(name, severity)
		}
		if err != nil {
			return &usageError{msg: fmt.Sprintf("--lint %s=%s: %s", name, c.Lint[name], err), hint: "alertd check --lints"}
		}
	}
	switch {
	case len(c.Files) > 0:
		found.files(c.Files)
	case c.Rules != "":
		if info, err := os.Stat(c.Rules); err != nil || !info.IsDir() {
			return &usageError{msg: fmt.Sprintf("--rules %s is not a folder", c.Rules), hint: "alertd check " + c.Rules + " for one file"}
		}
		found.folder(os.DirFS(c.Rules))
	default:
		found.folder(rules.Shipped())
	}
	if err := found.lint(ctx, c); err != nil {
		return err
	}
	return found.report(std, c)
}

// problem is one thing that was found, by reading or by a lint.
type problem struct {
	File     string        `json:"file,omitempty"` // empty: no place is known
	Line     int           `json:"line,omitempty"`
	Column   int           `json:"column,omitempty"`
	Severity lint.Severity `json:"severity"`
	Lint     string        `json:"lint,omitempty"` // empty: the file cannot be used as it is, or has no effect there
	Message  string        `json:"message"`
}

// checked is what a check has found so far.
type checked struct {
	dir        string // before the names of files; "" where they have their whole names
	problems   []problem
	rules      *rules.Set
	routing    *config.Routing
	books      *runbooks.Index
	whole      bool // the rules are all that a daemon would have
	external   string
	severities lint.Severities
}

// config checks the daemon's own configuration, and takes from it what is for checks.
func (f *checked) config(name string) {
	data, err := os.ReadFile(name)
	var c config.Config
	if err == nil {
		c, err = config.ParseConfig(name, data, os.LookupEnv, os.ReadFile)
	}
	f.fail("", err)
	f.external = cmp.Or(c.ExternalURL, f.external)
	for _, l := range c.Check.Lints {
		severity, err := lint.ParseSeverity(l.Severity)
		if err == nil {
			err = f.severities.Set(l.Name, severity)
		}
		if err != nil {
			f.problems = append(f.problems, problem{l.At.File, l.At.Line, l.At.Column, lint.Error, "", "check.lints: " + err.Error()})
		}
	}
}

// folder checks what a daemon would run on.
func (f *checked) folder(fsys fs.FS) {
	policy, err := config.Load(fsys, os.LookupEnv, os.ReadFile)
	f.fail(f.dir, err)
	if policy == nil {
		return
	}
	f.warn(slices.Concat(policy.Warnings, policy.Routing.Stale(time.Now())))
	f.rules, f.routing, f.whole = policy.Rules, policy.Routing, true
	books, err := runbooks.Beside(fsys)
	f.fail(f.dir, err)
	if err != nil {
		return
	}
	f.books = books
	var names []string
	for _, r := range f.rules.Rules() {
		names = append(names, r.Name)
	}
	for _, rb := range books.Unused(names) {
		f.problems = append(f.problems, problem{f.path(rb.File), 1, 1, lint.Warning, "", fmt.Sprintf("runbook of %s, which no rule is called: rename it or delete it", rb.Alert)})
	}
}

// files checks files one by one, each as what its name says that it is, or else what is in it. What only shows in a whole folder, it cannot see.
func (f *checked) files(names []string) {
	var ruleFiles []rules.File
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		data, err := os.ReadFile(name)
		stem := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
		switch {
		case err != nil:
		case strings.HasSuffix(stem, ".routing"):
			err = fmt.Errorf("%s: it adds to routing.yaml, so it is checked with its folder: alertd check --rules %s", name, filepath.Dir(name))
		case stem == "routing", routes.Match(data):
			var warnings []config.Warning
			f.routing, warnings, err = config.ParseRouting(name, data, os.LookupEnv, os.ReadFile)
			f.warn(warnings)
		case stem == "health":
			_, err = config.ParseHealth(name, data)
		default:
			ruleFiles = append(ruleFiles, rules.File{Name: name, Data: data})
		}
		f.fail("", err)
	}
	var err error
	f.rules, err = rules.Parse(ruleFiles)
	f.fail("", err)
}

// routes is what only a routing file has, however it is called: alertmanager-prod.yml.
var routes = regexp.MustCompile(`(?m)^(route|receivers)[ \t]*:`)

// lint looks for what can be read and is most likely a mistake. Files that cannot be read are not looked at.
func (f *checked) lint(ctx context.Context, c *checkCmd) error {
	if f.rules == nil {
		return nil
	}
	if f.books == nil { // single files, or own ones that cannot be read
		books, err := runbooks.Load(runbooks.Shipped())
		if err != nil {
			return err
		}
		f.books = books
	}
	in := lint.Input{Rules: f.rules, Routing: f.routing, Runbooks: f.books, Whole: f.whole, External: f.external}
	if c.URL != "" {
		var arrived map[string]json.RawMessage
		if err := (daemonFlags{URL: c.URL}).get(ctx, "/api/v1/metadata", nil, &arrived); err != nil {
			return err
		}
		in.Arrived = make(map[string]bool)
		for name := range arrived {
			in.Arrived[name] = true
		}
	}
	if c.Links {
		in.Dead = app.DeadLinks(ctx, http.DefaultClient, lint.Links(f.rules, f.books, f.external))
	}
	for _, l := range lint.Check(in, f.severities) {
		f.problems = append(f.problems, problem{f.path(l.File), l.Line, l.Column, l.Severity, l.Lint, l.Message})
	}
	return nil
}

// path puts the folder before a file's name, so that an editor finds it.
func (f *checked) path(name string) string {
	if f.dir == "" {
		return name
	}
	if joined := filepath.Join(f.dir, name); exists(joined) {
		return joined
	}
	return name
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// placed is an error that begins with its place.
var placed = regexp.MustCompile(`^([^\n]+?):(\d+):(\d+): (?s:(.*))$`)

// fail notes every problem that err joins.
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
	p := problem{Severity: lint.Error, Message: err.Error()}
	if m := placed.FindStringSubmatch(p.Message); m != nil {
		p.File, p.Message = m[1], m[4]
		p.Line, _ = strconv.Atoi(m[2])
		p.Column, _ = strconv.Atoi(m[3])
		if dir != "" {
			p.File = f.path(p.File)
		}
	} else if name, rest, ok := strings.Cut(p.Message, ": "); ok && dir != "" && exists(filepath.Join(dir, name)) {
		p.Message = filepath.Join(dir, name) + ": " + rest
	}
	f.problems = append(f.problems, p)
}

func (f *checked) warn(warnings []config.Warning) {
	for _, w := range warnings {
		f.problems = append(f.problems, problem{f.path(w.File), w.Line, w.Column, lint.Warning, "", w.Msg})
	}
}

// report prints what was found. With an error in it, it fails.
func (f *checked) report(std streams, c *checkCmd) error {
	n, recording, errs := 0, 0, 0
	if f.rules != nil {
		n = len(f.rules.Rules())
		for _, g := range f.rules.Groups() {
			recording += len(g.Rules)
		}
		recording -= n
	}
	for _, p := range f.problems {
		if p.Severity == lint.Error {
			errs++
		}
	}
	warnings := count(len(f.problems)-errs, "warning")
	var err error
	switch c.Output {
	case "json":
		err = writeJSON(std.out, struct {
			Rules    int       `json:"rules"` // that alert
			Problems []problem `json:"problems"`
		}{n, append([]problem{}, f.problems...)})
	case "github":
		for _, p := range f.problems {
			fmt.Fprintln(std.out, p.annotation())
		}
	default:
		for _, p := range f.problems {
			fmt.Fprintln(std.err, p)
		}
	}
	switch {
	case err != nil:
		return err
	case errs > 0:
		what := count(errs, "problem")
		if errs < len(f.problems) {
			what += ", " + warnings
		}
		return &failure{err: errors.New(what), hint: "mend them and check again: a daemon that reloads keeps what it has until then"}
	case c.Output != "text":
		return nil
	}
	if c.Explain {
		for _, e := range f.rules.Explain() {
			fmt.Fprintln(std.out, explained(e))
		}
		if f.routing != nil {
			for _, service := range f.routing.Depends.Services() {
				for _, d := range f.routing.Depends.Of(service) {
					fmt.Fprintf(std.out, "%s: alerts of %s are withheld while %s has a critical one\n", d.How, service, d.On)
				}
			}
		}
	}
	var what []string
	if n > 0 || f.routing == nil {
		what = append(what, count(n, "alerting rule"))
	}
	if recording > 0 {
		what = append(what, count(recording, "recording rule"))
	}
	if f.routing != nil {
		routes := 0
		f.routing.Root.Walk(func(*router.Route) { routes++ })
		what = append(what, count(routes, "route"), count(len(f.routing.Receivers), "receiver"))
	}
	_, err = fmt.Fprintf(std.out, "%s, %s, no problem\n", strings.Join(what, ", "), warnings)
	return err
}

// String is "rules.yaml:3:5: warning: … [lint]".
func (p problem) String() string {
	var b strings.Builder
	if p.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	}
	fmt.Fprintf(&b, "%s: %s", p.Severity, p.Message)
	if p.Lint != "" {
		fmt.Fprintf(&b, " [%s]", p.Lint)
	}
	return b.String()
}

// annotation is the workflow command that makes GitHub show the problem beside the line.
func (p problem) annotation() string {
	message := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	var properties []string
	if p.File != "" {
		properties = append(properties, "file="+property.Replace(filepath.ToSlash(p.File)), fmt.Sprintf("line=%d", p.Line), fmt.Sprintf("col=%d", p.Column))
	}
	if p.Lint != "" {
		properties = append(properties, "title="+property.Replace(p.Lint))
	}
	return strings.TrimSuffix(fmt.Sprintf("::%s %s", p.Severity, strings.Join(properties, ",")), " ") + "::" + message.Replace(p.Message)
}

// listLints says what is looked for.
func listLints(out io.Writer) error {
	for _, l := range lint.All() {
		if _, err := fmt.Fprintf(out, "%-18s %-8s %s\n", l.Name, l.Severity, l.About); err != nil {
			return err
		}
	}
	return nil
}

// explained says in words how a rule is evaluated.
func explained(e rules.Explanation) string {
	var b strings.Builder
	name := e.Record
	if e.Rule != nil {
		name = e.Rule.Name
	}
	fmt.Fprintf(&b, "%s:%d:%d: %s\n", e.File, e.Line, e.Column, name)
	fmt.Fprintf(&b, "  %s\n", e.Expr)
	if e.Rule != nil && e.Rule.Occurrence {
		fmt.Fprintf(&b, "  fires at once on each of these events, and stands for %s\n", model.Duration(e.Rule.KeepFiringFor))
		return b.String()
	}
	switch {
	case e.TicksOnly:
		b.WriteString("  evaluated whole, at the interval of its group only\n")
	case e.Keyed:
		fmt.Fprintf(&b, "  evaluated as samples arrive, key by key: %s\n", e.Partition)
	default:
		fmt.Fprintf(&b, "  evaluated as samples arrive, but whole: %s\n", e.Partition.Whole)
	}
	fmt.Fprintf(&b, "  woken by %s; looks back %s\n", strings.Join(e.Metrics, ", "), model.Duration(e.LookBack))
	switch {
	case e.Compiled:
	case len(e.Fixed) > 0:
		b.WriteString("  computed by Prometheus's engine, as all that has @: each time costs more than that of a common shape\n")
	default:
		b.WriteString("  computed by Prometheus's engine: each time costs more than that of a common shape\n")
	}
	for _, f := range e.Fixed {
		fmt.Fprintf(&b, "  keeps %s from %s to %s, which it is fixed to\n", f.Metric, f.From.Format(time.RFC3339), f.To.Format(time.RFC3339))
	}
	return b.String()
}

// count is "1 rule" or "2 rules".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
