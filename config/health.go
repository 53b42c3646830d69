package config

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"alertd/healthpoll"
)

// The defaults of a health target, and the paths that every service is asked for.
const (
	defaultProbeInterval = 10 * time.Second
	defaultProbeTimeout  = 3 * time.Second
	leastProbeInterval   = time.Second
	livePath             = "/health/live"
	readyPath            = "/health/ready"
	maxTargets           = 10_000
)

// ParseHealth reads the services to ask for their health:
//
//	targets: [{service: api, url: http://127.0.0.1:8080, interval: 10s, timeout: 3s}]
//
// A target's live and ready are its paths below url, by default /health/live and /health/ready. The name is for
// positions. The error joins an [*Error] for each mistake.
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

func (p *healthParser) readTarget(n *yaml.Node) healthpoll.Target {
	t := healthpoll.Target{Live: livePath, Ready: readyPath, Interval: defaultProbeInterval, Timeout: defaultProbeTimeout}
	at := map[string]*yaml.Node{}
	note := func(key string, read func(*yaml.Node)) func(*yaml.Node) {
		return func(n *yaml.Node) {
			at[key] = target(n)
			read(n)
		}
	}
	ok := p.object(n, "target", fields{
		"service":  note("service", p.textTo(&t.Service, "service")),
		"url":      note("url", p.textTo(&t.URL, "url")),
		"live":     note("live", p.textTo(&t.Live, "live")),
		"ready":    note("ready", p.textTo(&t.Ready, "ready")),
		"interval": p.durationTo(&t.Interval, "interval", leastProbeInterval),
		"timeout":  note("timeout", p.durationTo(&t.Timeout, "timeout", time.Millisecond)),
	})
	if !ok {
		return t
	}
	switch {
	case t.Service == "":
		p.fail(n, "a target has no service; add service: NAME")
	case strings.ContainsAny(t.Service, ".*> \t\r\n"):
		p.fail(at["service"], "service %s becomes part of a NATS subject and cannot have dots, stars, > or white space", quote(at["service"].Value))
	case p.services[t.Service]:
		p.fail(at["service"], "service %s is a target already", quote(at["service"].Value))
	}
	p.services[t.Service] = true
	if t.URL == "" {
		p.fail(n, "target %s has no url; add url: http://HOST:PORT", quote(t.Service))
	} else if err := httpURL(t.URL); err != nil {
		p.fail(at["url"], "url: %v", err)
	}
	t.URL = strings.TrimRight(t.URL, "/")
	for _, path := range []struct{ key, value string }{{"live", t.Live}, {"ready", t.Ready}} {
		if !strings.HasPrefix(path.value, "/") {
			p.fail(at[path.key], "%s is a path below url; write it like /health/%[1]s", path.key)
		}
	}
	if t.Timeout > t.Interval {
		where := at["timeout"]
		if where == nil { // the default; an interval shorter than it shortens it
			t.Timeout = t.Interval
			return t
		}
		p.fail(where, "timeout %s is longer than the interval %s", t.Timeout, t.Interval)
	}
	return t
}
