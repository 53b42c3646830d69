package config

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"

	"alertd/templates"
)

// readTemplates reads the files that templates: names. After a mistake in them texts are not tried, since what they use
// may be what is missing.
func (p *routingParser) readTemplates(n *yaml.Node) {
	var files []templates.File
	before := len(p.problems)
	for _, item := range p.list(n, "templates") {
		pattern, ok := p.text(item, "an item of templates")
		if !ok || pattern == "" {
			continue
		}
		found, err := p.beside.glob(pattern)
		if err != nil {
			p.fail(item, "templates: cannot read %s: %v", quote(item.Value), err)
			continue
		}
		if len(found) == 0 {
			p.warn(item, "templates: there is no file like %s", quote(item.Value))
		}
		for _, f := range found {
			p.out.read = append(p.out.read, f)
			files = append(files, templates.File(f))
		}
	}
	set, err := templates.Parse(files...)
	if te, ok := errors.AsType[*templates.Error](err); ok {
		p.problems = append(p.problems, &Error{Pos{te.File, max(te.Line, 1), max(te.Column, 1)}, "not a template: " + te.Msg})
	} else if err != nil {
		p.fail(n, "templates: %v", err)
	}
	if len(p.problems) > before {
		return
	}
	p.out.Templates = set
	p.tried = map[string]tried{}
}

// tried is what came of trying a text.
type tried struct {
	mistake error // in its form
	failure error // with an example alert
}

// templateTo reads a text that may be a template, and tries it: a mistake in its form is one; what fails with an example
// is only told, since it may work with the alerts that come.
func (p *routingParser) templateTo(to *string, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := p.text(n, what)
		if !ok {
			return
		}
		*to = s
		switch t := p.try(s); {
		case t.mistake != nil:
			p.fail(target(n), "%s is not a template: %s", what, cause(n, t.mistake))
		case t.failure != nil:
			p.warn(target(n), "%s fails with an example alert: %s; where it fails, alertd's own message is sent instead", what, cause(n, t.failure))
		}
	}
}

func (p *routingParser) try(text string) tried {
	if p.out.Templates == nil || !strings.Contains(text, "{{") {
		return tried{}
	}
	if t, ok := p.tried[text]; ok {
		return t
	}
	t := tried{mistake: p.out.Templates.Check(text)}
	for _, example := range templates.Examples("example", "https://alertd.example.org") {
		if t.mistake == nil && t.failure == nil {
			_, t.failure = p.out.Templates.Expand(text, example)
		}
	}
	p.tried[text] = t
	return t
}
