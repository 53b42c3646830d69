// Package templates makes the texts of notifications with Alertmanager's templates: its functions, its default
// templates, and the files that `templates:` names on top of them.
//
// A [Set] is built once and must not change afterwards; then it is safe for concurrent use.
package templates

import (
	"fmt"
	htmltemplate "html/template"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	texttemplate "text/template"
	"text/template/parse"

	amtemplate "github.com/prometheus/alertmanager/template"
)

// File is a template file. What it defines can be used by that name, and its whole text by the base of its own name.
type File struct {
	Name string
	Data []byte
}

// Set is everything that texts may use: Alertmanager's default templates, and what the files add or define anew.
type Set struct {
	am      *amtemplate.Template
	text    *texttemplate.Template // the same as in am, to look at
	defined map[string]bool        // by the files
}

// Error is a mistake in a template file, or in a text. Lines and columns count from 1, and 0 is unknown.
type Error struct {
	File         string // "" for a text
	Line, Column int
	Msg          string
}

// Error is "FILE:LINE:COLUMN: …" without what is not known; of a text of several lines, "line LINE: …".
func (e *Error) Error() string {
	s := e.File
	switch {
	case s == "" && e.Line > 1:
		s = "line " + strconv.Itoa(e.Line)
	case s == "":
		return e.Msg
	case e.Column > 0:
		s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	case e.Line > 0:
		s += fmt.Sprintf(":%d", e.Line)
	}
	return s + ": " + e.Msg
}

// Parse reads template files in their order: of two definitions of one name the later one counts, and both come before
// Alertmanager's. The error is an [*Error] for the first mistake.
func Parse(files ...File) (*Set, error) {
	s := &Set{defined: map[string]bool{}}
	var html *htmltemplate.Template
	am, err := amtemplate.FromGlobs(nil, func(text *texttemplate.Template, h *htmltemplate.Template) { s.text, html = text, h })
	if err != nil {
		return nil, fmt.Errorf("alertmanager's default templates: %w", err)
	}
	s.am = am
	theirs := map[string]*parse.Tree{}
	for _, t := range s.text.Templates() {
		theirs[t.Name()] = t.Tree
	}
	for _, f := range files {
		base := filepath.Base(f.Name)
		if _, err := s.text.New(base).Parse(string(f.Data)); err != nil {
			return nil, errorIn(f, err)
		}
		// Alertmanager reads every file as HTML too, and does not start where that fails.
		if _, err := html.New(base).Parse(string(f.Data)); err != nil {
			return nil, errorIn(f, err)
		}
	}
	for _, t := range s.text.Templates() {
		if t.Tree != theirs[t.Name()] {
			s.defined[t.Name()] = true
		}
	}
	return s, nil
}

// Defines reports whether a template file defines a name that begins so.
func (s *Set) Defines(prefix string) bool {
	for name := range s.defined {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Check says what is wrong with the form of a text, as an [*Error], or nil. Whether it works with the data of an alert
// only [Set.Expand] can tell.
func (s *Set) Check(text string) error {
	clone, err := s.text.Clone()
	if err != nil {
		return err
	}
	if _, err := clone.New("").Parse(text); err != nil {
		return errorIn(File{Data: []byte(text)}, err)
	}
	return nil
}

// Expand makes of a text what it says about the data. The error is for people and quotes the text at most.
func (s *Set) Expand(text string, data *amtemplate.Data) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	out, err := s.am.ExecuteTextString(text, data)
	if err != nil {
		return "", errorIn(File{}, err)
	}
	return out, nil
}

// ExpandRouteLabels replaces the labels of the route, which may be templates and refer to each other, with what they say
// about the data. As in Alertmanager the reason of the notification is unknown to them. The error is of the first one,
// by name, that does not work; it is left out, the others are there.
func (s *Set) ExpandRouteLabels(data *amtemplate.Data) error {
	defer amtemplate.MarkRouteLabelsRendered(data)
	if len(data.RouteLabels) == 0 {
		return nil
	}
	unaware := *data
	unaware.NotificationReason = "unknown"
	render := s.am.RouteLabelRenderer(&unaware)
	out := amtemplate.KV{}
	var first error
	for _, l := range data.RouteLabels.SortedPairs() {
		v, err := render(l.Name)
		switch {
		case err == nil:
			out[l.Name] = v
		case first == nil:
			first = fmt.Errorf("route label %s: %w", l.Name, errorIn(File{}, err))
		}
	}
	data.RouteLabels = out
	return first
}

// The library's errors begin with "template: NAME:LINE:COLUMN: "; those of the parser know no column.
var where = regexp.MustCompile(`^(?:html/)?template: ?([^:]*):(\d+)(?::(\d+))?: `)

// errorIn is the library's error in our words. The file is where it happened, where it has a name.
func errorIn(f File, err error) *Error {
	e := &Error{File: f.Name, Msg: err.Error()}
	m := where.FindStringSubmatch(e.Msg)
	if m == nil {
		e.Msg = strings.TrimPrefix(strings.TrimPrefix(e.Msg, "html/"), "template: ")
		return e
	}
	e.Msg = strings.TrimPrefix(e.Msg[len(m[0]):], `executing "" at `)
	if f.Name == "" && m[1] != "" { // in a template that the text uses
		e.File = m[1]
	}
	e.Line, _ = strconv.Atoi(m[2])
	if m[3] != "" {
		e.Column, _ = strconv.Atoi(m[3])
		e.Column++ // the library counts from 0
	} else if lines := strings.Split(string(f.Data), "\n"); e.Line <= len(lines) && f.Data != nil {
		e.Column = max(strings.Index(lines[e.Line-1], "{{"), 0) + 1
	}
	return e
}
