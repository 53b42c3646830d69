package runbooks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"alertd"
)

// frontMatter is the head of a file, as written.
type frontMatter struct {
	Alert     string   `yaml:"alert"`
	Title     string   `yaml:"title"`
	Severity  string   `yaml:"severity"`
	Owner     string   `yaml:"owner"`
	NextSteps []string `yaml:"next_steps"`

	Dashboards []Dashboard `yaml:"dashboards"`
}

// fence opens and closes the front matter.
const fence = "---"

// Parse reads one runbook. Its errors say name:line:column, what is wrong and what to write instead.
func Parse(name string, src []byte) (Runbook, error) {
	if !utf8.Valid(src) {
		return Runbook{}, fmt.Errorf("%s:1:1: not UTF-8: save the file as UTF-8", name)
	}
	head, body, err := split(string(src))
	if err != nil {
		return Runbook{}, fmt.Errorf("%s:1:1: %w", name, err)
	}
	var fm frontMatter
	dec := yaml.NewDecoder(strings.NewReader(head))
	dec.KnownFields(true)
	if err := dec.Decode(&fm); err != nil && !errors.Is(err, io.EOF) { // EOF: nothing between the fences
		return Runbook{}, fmt.Errorf("%s: front matter: %w", name, err)
	}
	if errs := fm.problems(positions(head)); len(errs) > 0 {
		for i, err := range errs {
			errs[i] = fmt.Errorf("%s:%w", name, err)
		}
		return Runbook{}, errors.Join(errs...)
	}
	rb := Runbook{
		Alert:     fm.Alert,
		Title:     fm.Title,
		Severity:  alertd.Severity(fm.Severity),
		Owner:     fm.Owner,
		NextSteps: fm.NextSteps,
		Body:      strings.TrimSpace(body),
		File:      name,

		Dashboards: fm.Dashboards,
	}
	if rb.Title == "" {
		rb.Title = rb.Alert
	}
	return rb, nil
}

// split cuts the front matter from the body. The first fence becomes an empty line of the head, so that the line
// numbers in the YAML parser's errors are those of the file.
func split(src string) (head, body string, err error) {
	src = strings.TrimPrefix(src, "\uFEFF")
	src = strings.ReplaceAll(src, "\r\n", "\n")
	rest, ok := strings.CutPrefix(src, fence+"\n")
	if !ok {
		return "", "", errors.New(`no front matter: begin the file with a line "---", then "alert: NAME", then "---"`)
	}
	head, body, ok = strings.Cut("\n"+rest, "\n"+fence+"\n")
	if !ok {
		head, ok = strings.CutSuffix("\n"+rest, "\n"+fence)
		if !ok {
			return "", "", errors.New(`the front matter does not end: write a line "---" after it`)
		}
	}
	return "\n" + strings.TrimPrefix(head, "\n") + "\n", body, nil
}

// position is where a key's value stands in the file.
type position struct{ line, column int }

// positions of the front matter's keys. The head was decoded before, so a failure here has been reported.
func positions(head string) map[string]position {
	at := make(map[string]position)
	var doc yaml.Node
	if yaml.NewDecoder(bytes.NewReader([]byte(head))).Decode(&doc) != nil || len(doc.Content) == 0 {
		return at
	}
	pairs := doc.Content[0].Content
	for i := 0; i+1 < len(pairs); i += 2 {
		at[pairs[i].Value] = position{pairs[i+1].Line, pairs[i+1].Column}
	}
	return at
}

// problems are all mistakes in the front matter, each beginning with line:column.
func (fm frontMatter) problems(at map[string]position) []error {
	var errs []error
	report := func(key, problem string, args ...any) {
		p, written := at[key]
		if !written {
			p = position{1, 1}
		}
		errs = append(errs, fmt.Errorf("%d:%d: %s", p.line, p.column, fmt.Sprintf(problem, args...)))
	}
	switch {
	case fm.Alert == "":
		report("alert", `no alert: write "alert: " and the alertname of the rule`)
	case strings.ContainsAny(fm.Alert, "/\\\n"):
		report("alert", "alert %q cannot be part of an address: use the alertname of the rule, without slashes", fm.Alert)
	}
	switch alertd.Severity(fm.Severity) {
	case alertd.Critical, alertd.Warning, alertd.Info:
	default:
		report("severity", "severity %q is not one of critical, warning, info", fm.Severity)
	}
	if len(fm.NextSteps) == 0 {
		report("next_steps", "no next_steps: list at least one thing to do")
	}
	for i, step := range fm.NextSteps {
		if strings.TrimSpace(step) == "" {
			report("next_steps", "next step %d is empty: write what to do, or delete it", i+1)
		}
	}
	for i, d := range fm.Dashboards {
		switch problem := d.problem(); {
		case problem != "":
			errs = append(errs, fmt.Errorf("%d:%d: dashboard %d: %s", d.Line, d.Column, i+1, problem))
		case i == maxDashboards:
			errs = append(errs, fmt.Errorf("%d:%d: more than %d dashboards: keep those that are looked at first", d.Line, d.Column, maxDashboards))
		}
	}
	return errs
}
