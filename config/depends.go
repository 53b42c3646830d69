package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"alertd/router"
)

// readDependencies reads which services depend on which, from all files.
func (p *routingParser) readDependencies() {
	direct := map[string][]string{}
	at := map[string]Pos{}
	p.each("depends_on", func(n *yaml.Node) {
		for _, e := range p.entries(n, "depends_on") {
			service, ok := p.text(e.key, "a service")
			if !ok || service == "" || !p.define(at, e.key, service, "what this service depends on:") {
				continue
			}
			for _, item := range p.list(e.value, "the services that it depends on") {
				if on, ok := p.text(item, "a service"); ok && on != "" {
					direct[service] = append(direct[service], on)
				}
			}
		}
	})
	if len(direct) == 0 {
		return
	}
	d, circle := router.NewDependencies(direct)
	if circle != nil {
		p.problems = append(p.problems, &Error{at[circle[0]], fmt.Sprintf("%s depends on itself: %s; take one of them out", circle[0], strings.Join(circle, " → "))})
		return
	}
	p.out.Depends = d
}
