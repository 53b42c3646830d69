package router

import (
	"maps"
	"slices"
	"strings"

	"alertd"
)

// Dependencies say which services need which others. While a service has a critical alert that fires, what depends on it,
// directly or over others, is not told. Nil is no dependency.
type Dependencies struct {
	direct map[string][]string
	how    map[string]map[string]string // service → what it needs → how, for people
	needed map[string]bool
}

// NewDependencies takes what each service depends on directly. If services depend on themselves, the answer is nil and
// one such circle: it begins and ends with the same name.
func NewDependencies(direct map[string][]string) (d *Dependencies, circle []string) {
	d = &Dependencies{direct: direct, how: map[string]map[string]string{}, needed: map[string]bool{}}
	for _, service := range slices.Sorted(maps.Keys(direct)) {
		if circle := d.follow(service); circle != nil {
			return nil, circle
		}
	}
	return d, nil
}

// follow finds everything that a service needs, the nearest first, and how. It returns a circle if the service is in it.
func (d *Dependencies) follow(service string) (circle []string) {
	how := map[string]string{}
	ways := [][]string{{service}}
	for len(ways) > 0 {
		way := ways[0]
		ways = ways[1:]
		for _, next := range slices.Sorted(slices.Values(d.direct[way[len(way)-1]])) {
			longer := append(slices.Clip(way), next)
			if next == service {
				return longer
			}
			if how[next] == "" {
				how[next] = tell(longer)
				d.needed[next] = true
				ways = append(ways, longer)
			}
		}
	}
	d.how[service] = how
	return nil
}

// tell says a way in words: "shop depends on payments, which depends on database".
func tell(way []string) string {
	return way[0] + " depends on " + strings.Join(way[1:], ", which depends on ")
}

// isSource reports whether an alert with these labels keeps others quiet while it fires.
func (d *Dependencies) isSource(ls alertd.Labels) bool {
	return d != nil && d.needed[alertd.ServiceOf(ls)] && alertd.SeverityOf(ls) == alertd.Critical
}

// Of says what a service depends on, directly or over others, and how, sorted by name.
func (d *Dependencies) Of(service string) (all []Dependency) {
	if d == nil {
		return nil
	}
	for _, on := range slices.Sorted(maps.Keys(d.how[service])) {
		all = append(all, Dependency{Service: service, On: on, How: d.how[service][on]})
	}
	return all
}

// Services are those that depend on others, sorted.
func (d *Dependencies) Services() []string {
	if d == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(d.how))
}

// Dependency is one service's on another one.
type Dependency struct {
	Service string
	On      string
	How     string // "shop depends on payments, which depends on database"
}
