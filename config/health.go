package config

import (
	"errors"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"alertd/healthpoll"
	"alertd/ingest"
)

const (
	maxTargets   = 10_000
	maxComponent = 256 // bytes of a name
)

// Health is what health.yaml says: whom to ask, and what the checks in health reports are about.
type Health struct {
	Targets    []healthpoll.Target
	Micro      *healthpoll.Micro // nil: NATS micro services are not looked for
	Components ingest.Components
}

// ParseHealth reads the services to ask for their health, and the names of what they depend on:
//
//	targets: [{service: api, url: http://127.0.0.1:8080, interval: 10s, timeout: 3s}]
//	discover: {nats_micro: {interval: 10s}}
//	components: {orders-db: [api.database, worker.postgres]}
//
// The keys of a target are the fields of [healthpoll.Target], and so are their defaults. The name is for positions.
// The error joins an [*Error] for each mistake.
func ParseHealth(name string, data []byte) (Health, error) {
	return parseHealth(name, data, func(string) (string, bool) { return "", false })
}

func parseHealth(name string, data []byte, env func(string) (string, bool)) (Health, error) {
	p := &healthParser{reader: reader{name: name, env: env}, services: make(map[string]bool)}
	if doc := p.parse(data); doc != nil {
		p.object(doc, "the health file", fields{
			"targets": p.readTargets, "components": p.readComponents,
			"discover": func(n *yaml.Node) { p.object(n, "discover", fields{"nats_micro": p.readMicro}) },
		})
	}
	if _, err := p.done(); err != nil {
		return Health{}, err
	}
	return p.out, nil
}

type healthParser struct {
	reader
	out      Health
	services map[string]bool
}

// readMicro reads how NATS micro services are looked for; that the key is there is enough.
func (p *healthParser) readMicro(n *yaml.Node) {
	var m healthpoll.Micro
	at := map[string]*yaml.Node{}
	note := func(key string, read func(*yaml.Node)) func(*yaml.Node) {
		return func(n *yaml.Node) {
			at[key] = target(n)
			read(n)
		}
	}
	if !p.object(n, "nats_micro", fields{
		"environment":   note("environment", p.textTo(&m.Environment, "environment")),
		"interval":      note("interval", p.durationTo(&m.Interval, "interval", time.Millisecond)),
		"timeout":       note("timeout", p.durationTo(&m.Timeout, "timeout", time.Millisecond)),
		"fall":          note("fall", p.intTo(&m.Fall, "fall")),
		"fast_interval": note("fast_interval", p.durationTo(&m.FastInterval, "fast_interval", time.Millisecond)),
	}) {
		return
	}
	p.out.Micro = &m
	if err := m.Normalize(); err != nil {
		p.refuse(n, at, err)
	}
}

// refuse says what healthpoll has against a value, at its place.
func (p *healthParser) refuse(n *yaml.Node, at map[string]*yaml.Node, err error) {
	where := n
	if wrong, ok := errors.AsType[*healthpoll.TargetError](err); ok {
		err = errors.New(wrong.Reason)
		if at[wrong.Key] != nil {
			where = at[wrong.Key]
		}
	}
	p.fail(target(where), "%s", cause(where, err))
}

// readComponents reads, of each component, the checks that are about it: SERVICE.CHECK, or *.CHECK for those of that
// name of all other services.
func (p *healthParser) readComponents(n *yaml.Node) {
	p.out.Components = ingest.Components{}
	for _, e := range p.entries(n, "components") {
		name := e.key.Value
		if name == "" || len(name) > maxComponent {
			p.fail(e.key, "a component has a name of 1 to %d bytes", maxComponent)
			continue
		}
		for _, item := range p.list(e.value, "component "+quote(name)) {
			check, ok := p.text(item, "a check of component "+quote(name))
			if !ok {
				continue
			}
			service, of, _ := strings.Cut(check, ".")
			switch other, taken := p.out.Components[check]; {
			case service == "" || of == "":
				p.fail(target(item), "%s is no check; write SERVICE.CHECK, or '*.CHECK' for those of all services", quote(check))
			case taken:
				p.fail(target(item), "%s is about component %s already", quote(check), quote(other))
			default:
				p.out.Components[check] = name
			}
		}
	}
}

func (p *healthParser) readTargets(n *yaml.Node) {
	items := p.list(n, "targets")
	if len(items) > maxTargets {
		p.fail(target(n), "targets has %d items; at most %d are polled", len(items), maxTargets)
		return
	}
	for _, item := range items {
		p.out.Targets = append(p.out.Targets, p.readTarget(item))
	}
}

// readTarget reads the fields. What they may be is healthpoll's to say; here they get their positions.
func (p *healthParser) readTarget(n *yaml.Node) healthpoll.Target {
	var t healthpoll.Target
	at := map[string]*yaml.Node{}
	note := func(key string, read func(*yaml.Node)) func(*yaml.Node) {
		return func(n *yaml.Node) {
			at[key] = target(n)
			read(n)
		}
	}
	ok := p.object(n, "target", fields{
		"service":       note("service", p.textTo(&t.Service, "service")),
		"environment":   note("environment", p.textTo(&t.Environment, "environment")),
		"url":           note("url", p.textTo(&t.URL, "url")),
		"live":          note("live", p.textTo(&t.Live, "live")),
		"ready":         note("ready", p.textTo(&t.Ready, "ready")),
		"interval":      note("interval", p.durationTo(&t.Interval, "interval", time.Millisecond)),
		"timeout":       note("timeout", p.durationTo(&t.Timeout, "timeout", time.Millisecond)),
		"fall":          note("fall", p.intTo(&t.Fall, "fall")),
		"rise":          note("rise", p.intTo(&t.Rise, "rise")),
		"fast_interval": note("fast_interval", p.durationTo(&t.FastInterval, "fast_interval", time.Millisecond)),
	})
	if !ok {
		return t
	}
	if err := t.Normalize(); err != nil {
		p.refuse(n, at, err)
		return t
	}
	if p.services[t.Service] {
		p.fail(at["service"], "service %s is a target already", quote(at["service"].Value))
	}
	p.services[t.Service] = true
	return t
}
