package web

import (
	"cmp"
	"maps"
	"slices"

	"alertd"
)

// service is a health report.
type service struct {
	Level, Name, Status string
	Ago                 string
	Stale               bool
	Checks              []check
	More                int // checks that are not shown
}

type check struct {
	Level, Name, Status, Latency, Error string
}

func (s *seen) reports() (out []service, hidden int) {
	all := make([]*alertd.Health, len(s.services))
	for i := range s.services {
		all[i] = &s.services[i]
	}
	// What is unwell first: that is what people look for.
	slices.SortFunc(all, func(a, b *alertd.Health) int {
		return cmp.Or(cmp.Compare(wellness[s.wellness(a)], wellness[s.wellness(b)]), cmp.Compare(a.Service, b.Service))
	})
	if len(all) > maxServices {
		all, hidden = all[:maxServices], len(all)-maxServices
	}
	for _, h := range all {
		out = append(out, s.report(*h))
	}
	return out, hidden
}

// wellness is the level of a report. Who was healthy once and is silent since is a warning: nobody knows whether it is.
func (s *seen) wellness(h *alertd.Health) string {
	level := healthLevel(h.Status)
	if level == "ok" && s.now.Sub(h.Timestamp) > stale {
		return "warning"
	}
	return level
}

var wellness = map[string]int{"critical": 0, "warning": 1, "ok": 2}

func (s *seen) report(h alertd.Health) service {
	age := s.now.Sub(h.Timestamp)
	out := service{Level: s.wellness(&h), Name: clip(h.Service, maxChip), Status: clip(string(h.Status), maxChip), Ago: ago(age), Stale: age > stale}
	for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
		c := h.Checks[name]
		out.Checks = append(out.Checks, check{
			Level: healthLevel(c.Status), Name: clip(name, maxChip), Status: clip(string(c.Status), maxChip),
			Latency: latency(c.LatencyMS), Error: clip(c.Error, maxProse),
		})
	}
	if len(out.Checks) > maxChecks {
		slices.SortStableFunc(out.Checks, func(a, b check) int { return cmp.Compare(wellness[a.Level], wellness[b.Level]) })
		out.Checks, out.More = out.Checks[:maxChecks], len(out.Checks)-maxChecks
	}
	return out
}

func healthLevel(s alertd.HealthStatus) string {
	switch s {
	case alertd.Healthy:
		return "ok"
	case alertd.Degraded:
		return "warning"
	default:
		return "critical"
	}
}
