package main

import (
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"alertd"
	"alertd/config"
	"alertd/rules"
	"alertd/runbooks"
)

// TestRunbooksSayWhatExists types every `alertd …` of the shipped runbooks, and what their commands ask of the query API, to
// the parsers that would read it: at night nobody wants to look up a flag.
func TestRunbooksSayWhatExists(t *testing.T) {
	books, err := runbooks.Load(runbooks.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	typist, err := kong.New(&commands{}, kong.Name("alertd"), kong.Writers(io.Discard, io.Discard), kong.Exit(func(code int) { t.Errorf("exit %d", code) }))
	if err != nil {
		t.Fatal(err)
	}
	promql := parser.NewParser(parser.Options{})
	for _, rb := range books.All() {
		src, err := fs.ReadFile(runbooks.Shipped(), rb.File)
		if err != nil {
			t.Fatal(err)
		}
		text := runbooks.Fill(string(src), labels.FromStrings("service", "api", "component", "orders-db", "check", "database"))
		typed := commandsIn(text)
		if len(typed) == 0 {
			t.Errorf("%s has no command of alertd", rb.File)
		}
		for _, line := range typed {
			if _, err := typist.Parse(words(line)[1:]); err != nil {
				t.Errorf("%s: %s: %v", rb.File, line, err)
			}
		}
		for _, m := range regexp.MustCompile(`'query=([^']*)'`).FindAllStringSubmatch(text, -1) {
			if _, err := promql.ParseExpr(m[1]); err != nil {
				t.Errorf("%s: %s: %v", rb.File, m[1], err)
			}
		}
		if n := strings.Count(text, "query="); n != strings.Count(text, "'query=") {
			t.Errorf("%s: a query is not between apostrophes", rb.File)
		}
	}
	if _, err := typist.Parse(words(`why --no-such-flag x`)); err == nil {
		t.Error("the parser takes whatever is typed")
	}
}

// TestShippedTextsNameWhatCanBeAskedFor: the query API knows the metrics that rules read, and no others. Those that a shipped
// next step or runbook names are among them.
func TestShippedTextsNameWhatCanBeAskedFor(t *testing.T) {
	policy, err := config.Load(rules.Shipped(), os.LookupEnv, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"ALERTS": true}
	for _, e := range policy.Rules.Explain() {
		known[e.Record] = true
		for _, name := range e.Metrics {
			known[name] = true
		}
	}
	metric := regexp.MustCompile(`\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b`)
	said := 0
	check := func(where, name string) {
		if said++; !known[name] {
			t.Errorf("%s names %s, which no shipped rule reads, so nobody can ask for it", where, name)
		}
	}
	for _, g := range policy.Rules.Groups() {
		for i := range g.Rules {
			if g.Rules[i].Rule != nil {
				step, _ := g.Rules[i].Annotation(alertd.AnnotationNextStep)
				for _, name := range metric.FindAllString(step.Value, -1) {
					check(g.Rules[i].Name()+"'s next_step", name)
				}
			}
		}
	}
	books, err := runbooks.Load(runbooks.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	promql := parser.NewParser(parser.Options{})
	for _, rb := range books.All() {
		for _, step := range rb.NextSteps {
			for _, name := range metric.FindAllString(step, -1) {
				check(rb.File, name)
			}
		}
		body := runbooks.Fill(rb.Body, labels.FromStrings("service", "api", "component", "orders-db", "check", "database"))
		for _, m := range regexp.MustCompile(`'query=([^']*)'`).FindAllStringSubmatch(body, -1) {
			expr, err := promql.ParseExpr(m[1])
			if err != nil {
				t.Fatalf("%s: %v", rb.File, err)
			}
			parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
				if v, ok := n.(*parser.VectorSelector); ok && v.Name != "" {
					check(rb.File, v.Name)
				}
				return nil
			})
		}
	}
	if said < 10 {
		t.Errorf("found only %d names", said)
	}
}

// commandsIn are the lines of code blocks, and the words between backquotes, that run alertd.
func commandsIn(text string) (found []string) {
	code := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			code = !code
			continue
		}
		if code && strings.HasPrefix(line, "alertd ") {
			found = append(found, line)
		}
	}
	for _, m := range regexp.MustCompile("`(alertd [^`]*)`").FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// words splits a line as a shell does that has only double quotes.
func words(line string) (out []string) {
	for _, m := range regexp.MustCompile(`(?:[^\s"]|"[^"]*")+`).FindAllString(line, -1) {
		out = append(out, strings.ReplaceAll(m, `"`, ""))
	}
	return out
}
