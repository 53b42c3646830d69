package config

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"alertd/tracectx"
)

// readTraces reads where people look at a trace: at a product by its name, or where a template says.
func (p *configParser) readTraces(n *yaml.Node) {
	var s tracectx.Site
	ok := p.object(n, "traces", fields{
		"ui":           p.textTo(&s.UI, "ui"),
		"url":          p.textTo(&s.URL, "url"),
		"datasource":   p.textTo(&s.Datasource, "datasource"),
		"org_id":       p.textTo(&s.OrgID, "org_id"),
		"team":         p.textTo(&s.Team, "team"),
		"environment":  p.textTo(&s.Environment, "environment"),
		"dataset":      p.textTo(&s.Dataset, "dataset"),
		"region":       p.textTo(&s.Region, "region"),
		"project":      p.textTo(&s.Project, "project"),
		"url_template": p.readTemplate,
		"backend":      p.readTraceBackend,
	})
	p.oneOf(n, "traces", "ui", "url_template")
	switch {
	case !ok || s == tracectx.Site{}:
		return
	case s.UI == "":
		p.fail(target(n), "traces: say whose address it is: ui: %s", strings.Join(tracectx.Sites(), " | "))
		return
	}
	tmpl, err := s.Template()
	if err != nil {
		p.fail(target(n), "traces: %v", err)
		return
	}
	p.out.Traces.URLTemplate = tmpl
}

func (p *configParser) readTemplate(n *yaml.Node) {
	s, ok := p.text(n, "url_template")
	if !ok {
		return
	}
	if _, err := tracectx.ParseLink(s); err != nil {
		p.fail(target(n), "url_template: %s", cause(n, err))
		return
	}
	p.out.Traces.URLTemplate = strings.TrimSpace(s)
}

// readTraceBackend reads who is asked for traces. It is not guessed from where people look at them: that is often another
// address, behind a login.
func (p *configParser) readTraceBackend(n *yaml.Node) {
	var b TraceBackend
	ok := p.object(n, "backend", fields{
		"kind":        p.textTo(&b.Kind, "kind"),
		"url":         p.textTo(&b.URL, "url"),
		"org_id":      p.textTo(&b.OrgID, "org_id"),
		"http_config": func(n *yaml.Node) { b.HTTP = p.readHTTP(n) },
	})
	switch {
	case !ok:
	case b.Kind != "jaeger" && b.Kind != "tempo":
		p.fail(target(n), "backend: kind is %s; alertd can ask jaeger and tempo", quote(b.Kind))
	case b.OrgID != "" && b.Kind != "tempo":
		p.fail(target(n), "backend: org_id is for tempo")
	default:
		if err := httpURL(b.URL); err != nil {
			p.fail(target(n), "backend: url: %v", err)
			return
		}
		p.out.Traces.Backend = &b
	}
}
