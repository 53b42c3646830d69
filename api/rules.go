package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/rules"
)

// ruleGroup, alertingRule and recordingRule are what Prometheus calls them; nothing is added to them but what their
// alerts tell besides. An occurrence rule is an alerting rule whose query selects occurrences.
type ruleGroup struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []any     `json:"rules"`
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
}

type alertingRule struct {
	State          string        `json:"state"`
	Name           string        `json:"name"`
	Query          string        `json:"query"`
	Duration       float64       `json:"duration"`
	KeepFiringFor  float64       `json:"keepFiringFor"`
	Labels         alertd.Labels `json:"labels"`
	Annotations    alertd.Labels `json:"annotations"`
	Alerts         []Alert       `json:"alerts"`
	Health         string        `json:"health"`
	LastError      string        `json:"lastError,omitempty"`
	EvaluationTime float64       `json:"evaluationTime"`
	LastEvaluation time.Time     `json:"lastEvaluation"`
	Type           string        `json:"type"`
}

type recordingRule struct {
	Name           string        `json:"name"`
	Query          string        `json:"query"`
	Labels         alertd.Labels `json:"labels"`
	Health         string        `json:"health"`
	LastError      string        `json:"lastError,omitempty"`
	EvaluationTime float64       `json:"evaluationTime"`
	LastEvaluation time.Time     `json:"lastEvaluation"`
	Type           string        `json:"type"`
}

// rulesFilter is what a request wants to see.
type rulesFilter struct {
	kind                string // alert, record, or "" for both
	names, groups, file []string
	sets                [][]*labels.Matcher
	excludeAlerts       bool
	groupLimit          int // 0: all
	token               string
}

func (a *api) rulesFilter(r *http.Request) (f rulesFilter, err error) {
	if r.Form, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return f, badData("error parsing form values: " + err.Error())
	}
	f = rulesFilter{
		kind: strings.ToLower(r.Form.Get("type")), names: r.Form["rule_name[]"], groups: r.Form["rule_group[]"], file: r.Form["file[]"],
		token: r.Form.Get("group_next_token"),
	}
	if !slices.Contains([]string{"", "alert", "record"}, f.kind) {
		return f, invalid("type", fmt.Errorf("not supported value %q", clip(f.kind)))
	}
	if f.sets, err = a.queries.matchers(r); err != nil {
		return f, err
	}
	if s := strings.ToLower(r.Form.Get("exclude_alerts")); s != "" {
		if f.excludeAlerts, err = strconv.ParseBool(s); err != nil {
			return f, invalid("exclude_alerts", fmt.Errorf("error converting exclude_alerts: %w", err))
		}
	}
	limit := r.Form.Get("group_limit")
	if f.token != "" && limit == "" {
		return f, invalid("group_next_token", fmt.Errorf("group_limit needs to be present in order to paginate over the groups"))
	}
	if limit != "" {
		if f.groupLimit, err = strconv.Atoi(limit); err != nil {
			return f, invalid("group_limit", fmt.Errorf("group_limit needs to be a valid number: %w", err))
		}
		if f.groupLimit <= 0 {
			return f, invalid("group_limit", fmt.Errorf("group_limit needs to be greater than 0"))
		}
	}
	return f, nil
}

// wants reports whether a rule is to be shown.
func (f *rulesFilter) wants(r *rules.RuleStatus) bool {
	switch {
	case f.kind == "alert" && r.Rule == nil, f.kind == "record" && r.Rule != nil:
		return false
	case len(f.names) > 0 && !slices.Contains(f.names, r.Name()):
		return false
	case len(f.sets) == 0:
		return true
	}
	ls := r.LabelSet()
	return slices.ContainsFunc(f.sets, func(set []*labels.Matcher) bool {
		return !slices.ContainsFunc(set, func(m *labels.Matcher) bool {
			v := ls.Get(m.Name)
			return strings.Contains(v, "{{") || !m.Matches(v) // what a template will say nobody knows
		})
	})
}

// rules is GET /api/v1/rules.
func (a *api) rules(w http.ResponseWriter, r *http.Request) error {
	f, err := a.rulesFilter(r)
	if err != nil {
		return err
	}
	if a.o.Rules == nil {
		return unavailable("rules cannot be listed here; look at the files in --rules")
	}
	groups, err := a.o.Rules(r.Context())
	if err != nil {
		return err
	}
	alerts, err := a.alertsByRule(r)
	if err != nil {
		return err
	}
	out := struct {
		Groups []ruleGroup `json:"groups"`
		Next   string      `json:"groupNextToken,omitempty"`
	}{Groups: []ruleGroup{}}
	found := f.token == ""
	for i := range groups {
		g := &groups[i]
		if found = found || f.token == groupToken(g); !found {
			continue
		}
		if len(f.groups) > 0 && !slices.Contains(f.groups, g.Name) || len(f.file) > 0 && !slices.Contains(f.file, g.File) {
			continue
		}
		shown := ruleGroup{
			Name: g.Name, File: g.File, Interval: g.Every.Seconds(), Limit: g.Limit,
			EvaluationTime: g.EvaluationTime.Seconds(), LastEvaluation: g.LastEvaluation,
		}
		for j := range g.Rules {
			if rule := &g.Rules[j]; f.wants(rule) {
				shown.Rules = append(shown.Rules, ruleOf(rule, alerts, f.excludeAlerts))
			}
		}
		if len(shown.Rules) == 0 {
			continue
		}
		if f.groupLimit > 0 && len(out.Groups) == f.groupLimit {
			out.Next = groupToken(g)
			break
		}
		out.Groups = append(out.Groups, shown)
	}
	if !found {
		return invalid("group_next_token", fmt.Errorf("invalid group_next_token '%s'. were rule groups changed?", clip(f.token)))
	}
	return success(w, out)
}

// alertsByRule are the alerts that are pending or firing, by the ID of their rule.
func (a *api) alertsByRule(r *http.Request) (map[string][]Alert, error) {
	all, err := a.o.State.Alerts(r.Context())
	if err != nil {
		return nil, err
	}
	out := make(map[string][]Alert)
	for i := range all {
		if all[i].State == alertd.Pending || all[i].State.Active() {
			out[all[i].Rule] = append(out[all[i].Rule], alertOf(&all[i]))
		}
	}
	return out, nil
}

func ruleOf(r *rules.RuleStatus, alerts map[string][]Alert, exclude bool) any {
	health := "ok"
	switch {
	case r.LastError != "":
		health = "err"
	case r.LastEvaluation.IsZero() && (r.Rule == nil || !r.Rule.Occurrence):
		health = "unknown"
	}
	if r.Rule == nil {
		return recordingRule{
			Name: r.Record, Query: r.Query, Labels: r.LabelSet(), Health: health, LastError: r.LastError,
			EvaluationTime: r.EvaluationTime.Seconds(), LastEvaluation: r.LastEvaluation, Type: "recording",
		}
	}
	active := nonNil(alerts[r.Rule.ID])
	state := "inactive"
	for _, a := range active {
		if a.State == string(alertd.Firing) {
			state = a.State
			break
		}
		state = a.State
	}
	if exclude {
		active = nil
	}
	return alertingRule{
		State: state, Name: r.Rule.Name, Query: r.Query, Duration: r.Rule.For.Seconds(), KeepFiringFor: r.Rule.KeepFiringFor.Seconds(),
		Labels: r.LabelSet(), Annotations: r.AnnotationSet(), Alerts: active, Health: health, LastError: r.LastError,
		EvaluationTime: r.EvaluationTime.Seconds(), LastEvaluation: r.LastEvaluation, Type: "alerting",
	}
}

// groupToken names a group in a page of groups.
func groupToken(g *rules.GroupStatus) string {
	sum := sha256.Sum256([]byte(g.File + ";" + g.Name))
	return hex.EncodeToString(sum[:])
}
