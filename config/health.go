package config

import (
	"errors"
	"time"

	"go.yaml.in/yaml/v3"

	"alertd/healthpoll"
)

const maxTargets = 10_000

// ParseHealth reads the services to ask for their health:
//
//	targets: [{service: api, url: http://127.0.0.1:8080, interval: 10s, timeout: 3s}]
//
// The keys of a target are the fields of [healthpoll.Target], and so are their defaults. The name is for positions.
// The error joins an [*Error] for each mistake.
func ParseHealth(name string, data []byte) ([]healthpoll.Target, error) {
	return parseHealth(name, data, func(string) (string, bool) { return "", false })
}

func parseHealth(name string, data []byte, env func(string) (string, bool)) ([]healthpoll.Target, error) {
	p := &healthParser{reader: reader{name: name, env: env}, services: make(map[string]bool)}
	if doc := p.parse(data); doc != nil {
		p.object(doc, "the health file", fields{"targets": p.readTargets})
	}
	if _, err := p.done(); err != nil {
		return nil, err
	}
	return p.out, nil
}

type healthParser struct {
	reader
	out      []healthpoll.Target
	services map[string]bool
}

func (p *healthParser) readTargets(n *yaml.Node) {
	items := p.list(n, "targets")
	if len(items) > maxTargets {
		p.fail(target(n), "targets has %d items; at most %d are polled", len(items), maxTargets)
		return
	}
	for _, item := range items {
		p.out = append(p.out, p.readTarget(item))
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
		where := n
		if wrong, ok := errors.AsType[*healthpoll.TargetError](err); ok {
			err = errors.New(wrong.Reason)
			if at[wrong.Key] != nil {
				where = at[wrong.Key]
			}
		}
		p.fail(where, "%s", cause(where, err))
		return t
	}
	if p.services[t.Service] {
		p.fail(at["service"], "service %s is a target already", quote(at["service"].Value))
	}
	p.services[t.Service] = true
	return t
}
