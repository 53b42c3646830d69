package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"alertd/config"
	"alertd/rehearse"
	"alertd/rules"
)

type testCmd struct {
	Output string   `short:"o" enum:"text,json,junit" default:"text" help:"How to say it: text, json or junit." placeholder:"FORMAT"`
	Files  []string `arg:"" help:"Files with unit tests, in promtool's format."`
}

// testedFile is one file of tests and how they went.
type testedFile struct {
	File    string            `json:"file"`
	Error   string            `json:"error,omitempty"` // why no test of it ran
	Results []rehearse.Result `json:"tests,omitempty"`
}

// Run runs unit tests of rules and of who is told.
func (c *testCmd) Run(std streams) error {
	var files []testedFile
	failed := 0
	for _, name := range c.Files {
		f := testFile(name, std.err)
		if f.failed() {
			failed++
		}
		files = append(files, f)
	}
	var err error
	switch c.Output {
	case "json":
		err = writeJSON(std.out, files)
	case "junit":
		err = writeJUnit(std.out, files)
	default:
		for i := range files {
			_, e := io.WriteString(std.out, files[i].text())
			err = errors.Join(err, e)
		}
	}
	if err == nil && failed > 0 {
		err = &failure{err: fmt.Errorf("%d of %s failed", failed, count(len(files), "file"))}
	}
	return err
}

// testFile runs the tests of one file.
func testFile(name string, warn io.Writer) testedFile {
	out := testedFile{File: name}
	results, err := runTests(name, warn)
	if err != nil {
		out.Error = err.Error()
	}
	out.Results = results
	return out
}

func runTests(name string, warn io.Writer) ([]rehearse.Result, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	tests, err := rehearse.ParseTests(name, data)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(name)
	files, err := testedRules(dir, tests.RuleFiles, warn)
	if err != nil {
		return nil, err
	}
	var routing *config.Routing
	if tests.NeedsRouting() {
		if routing, err = testedRouting(dir, tests.RoutingFile, files); err != nil {
			return nil, err
		}
	}
	return tests.Run(files, routing)
}

// testedRules reads the rule files that patterns name, each once.
func testedRules(dir string, patterns []string, warn io.Writer) (files []rules.File, err error) {
	seen := map[string]bool{}
	for _, pattern := range patterns {
		names, err := filepath.Glob(beside(dir, pattern))
		if err != nil {
			return nil, fmt.Errorf("rule_files: %s: %w", pattern, err)
		}
		if len(names) == 0 {
			fmt.Fprintf(warn, "warning: no rule file is called %s\n", beside(dir, pattern))
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			files = append(files, rules.File{Name: name, Data: data})
		}
	}
	return files, nil
}

// testedRouting reads the routing file: the one that is named, else the one beside the rules. No secret is needed,
// since nothing is sent: where one is missing, something stands in for it.
func testedRouting(dir, name string, files []rules.File) (*config.Routing, error) {
	var tried []string
	if name != "" {
		tried = []string{beside(dir, name)}
	} else {
		for _, f := range files {
			for _, base := range []string{"routing.yaml", "routing.yml"} {
				if path := filepath.Join(filepath.Dir(f.Name), base); !slices.Contains(tried, path) {
					tried = append(tried, path)
				}
			}
		}
	}
	for _, path := range tried {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) && name == "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("routing_file: %w", err)
		}
		routing, _, err := config.ParseRouting(path, data, standInEnv, standInFile)
		return routing, err
	}
	return nil, errors.New("notifications are tested, and there is no routing.yaml beside the rule files; add routing_file: NAME")
}

// standIn takes the place of a secret that is not there: a signing key where the name says so, else a URL, which will
// do for a token too.
func standIn(name string) string {
	if name = strings.ToLower(name); strings.Contains(name, "secret") || strings.Contains(name, "sign") {
		return "whsec_" + strings.Repeat("A", 32)
	}
	return "https://secret.invalid/"
}

func standInEnv(name string) (string, bool) {
	if value, ok := os.LookupEnv(name); ok {
		return value, true
	}
	return standIn(name), true
}

func standInFile(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return []byte(standIn(name)), nil //nolint:nilerr // a machine that runs tests has no secrets
	}
	return data, nil
}

func beside(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

func (f *testedFile) failed() bool {
	return f.Error != "" || slices.ContainsFunc(f.Results, func(r rehearse.Result) bool { return len(r.Failures) > 0 })
}

// text is what a person reads.
func (f *testedFile) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", f.File)
	if !f.failed() {
		fmt.Fprintf(&b, "  SUCCESS: %s\n", count(len(f.Results), "test"))
		return b.String()
	}
	b.WriteString("  FAILED:\n")
	if f.Error != "" {
		for line := range strings.Lines(f.Error + "\n") {
			b.WriteString("  " + line)
		}
	}
	for _, r := range f.Results {
		for _, x := range r.Failures {
			fmt.Fprintf(&b, "  %s:%d: %s: %s\n", f.File, x.Line, r.Test, x.What)
			if len(x.Diff) > 0 {
				b.WriteString("      - expected, + got\n")
			}
			for _, line := range x.Diff {
				fmt.Fprintf(&b, "      %s\n", line)
			}
		}
	}
	return b.String()
}

// The elements of JUnit's report that readers of it agree on.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Error    string      `xml:"system-err,omitempty"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name     string         `xml:"name,attr"`
		File     string         `xml:"file,attr"`
		Line     int            `xml:"line,attr"`
		Failures []junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func writeJUnit(w io.Writer, files []testedFile) error {
	var all junitSuites
	for _, f := range files {
		s := junitSuite{Name: f.File, Tests: len(f.Results), Error: f.Error}
		if f.Error != "" {
			s.Errors = 1
		}
		for _, r := range f.Results {
			c := junitCase{Name: r.Test, File: f.File, Line: r.Line}
			for _, x := range r.Failures {
				c.Failures = append(c.Failures, junitFailure{
					Message: fmt.Sprintf("%s:%d: %s", f.File, x.Line, x.What), Text: strings.Join(x.Diff, "\n"),
				})
			}
			if len(c.Failures) > 0 {
				s.Failures++
			}
			s.Cases = append(s.Cases, c)
		}
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
