package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/config"
	"alertd/router"
	"alertd/rules"
)

// routingFlags say which files to read; no daemon is asked.
type routingFlags struct {
	Rules      string `type:"existingdir" placeholder:"DIR" help:"Folder with routing.yaml. Default: the files that alertd ships."`
	ConfigFile string `name:"config.file" type:"existingfile" placeholder:"FILE" help:"A routing file by itself, such as an alertmanager.yml."`
}

// policy reads the files as the daemon would.
func (f routingFlags) policy() (*config.Policy, error) {
	policy, err := config.Load(folder(f.Rules, f.ConfigFile), os.LookupEnv, os.ReadFile)
	if err != nil {
		hint := ""
		if f.Rules != "" {
			hint = "alertd check --rules " + f.Rules
		}
		return nil, &failure{err: err, hint: hint}
	}
	return policy, nil
}

// folder is where rules and routing come from: the shipped files, a folder, or one routing file, beside which there
// are no rules unless a folder is named too.
func folder(dir, routing string) fs.FS {
	switch {
	case routing != "" && dir != "":
		return config.WithRouting(os.DirFS(dir), routing)
	case routing != "":
		return config.WithRouting(nil, routing)
	case dir != "":
		return os.DirFS(dir)
	default:
		return rules.Shipped()
	}
}

type routeCmd struct {
	Test routeTestCmd `cmd:"" help:"Show which way an alert with these labels takes, who is told, and when."`
}

type routeTestCmd struct {
	routingFlags
	outputFlags
	At     string   `placeholder:"TIME" help:"As if it fired then: 2026-12-24T10:30:00Z. Default: now."`
	Labels []string `arg:"" placeholder:"NAME=VALUE" help:"The alert's labels."`
}

// Run walks the tree without a daemon.
func (c *routeTestCmd) Run(std streams) error {
	at, err := showAt(c.At)
	if err != nil {
		return err
	}
	pairs, err := labelFlags{Label: c.Labels}.labels()
	if err != nil {
		return err
	}
	policy, err := c.policy()
	if err != nil {
		return err
	}
	if c.Rules == "" && c.ConfigFile == "" {
		fmt.Fprintln(std.err, "this is the routing that alertd ships; --rules DIR or --config.file FILE reads yours")
	}
	r := newRouteReport(policy.Routing, labels.FromMap(pairs), at)
	if c.Output == "json" {
		return writeJSON(std.out, r)
	}
	return r.write(std.out)
}

// showAt reads an optional instant.
func showAt(text string) (time.Time, error) {
	if text == "" {
		return time.Now(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, &usageError{msg: fmt.Sprintf("--at %q is not a time", text), hint: "--at 2026-12-24T10:30:00Z"}
	}
	return at, nil
}

// routeReport is what there is to say of one label set.
type routeReport struct {
	Labels     alertd.Labels   `json:"labels"`
	At         time.Time       `json:"at"`
	Steps      []routeStep     `json:"steps"`
	Deliveries []routeDelivery `json:"deliveries"`
	DependsOn  []dependency    `json:"depends_on,omitempty"` // a critical alert of one of these keeps it quiet
}

type dependency struct {
	Service string `json:"service"`
	How     string `json:"how"` // "shop depends on payments, which depends on database"
}

type routeStep struct {
	Depth    int            `json:"depth"`
	Matchers string         `json:"matchers"` // the node's own
	Receiver string         `json:"receiver"`
	Outcome  router.Outcome `json:"outcome"`
	Why      string         `json:"why"`
}

type routeDelivery struct {
	Receiver       string          `json:"receiver"`
	Sends          []string        `json:"sends"` // kinds of destinations; none reach nobody
	Route          string          `json:"route"`
	GroupKey       alertd.GroupKey `json:"group_key"`
	GroupLabels    alertd.Labels   `json:"group_labels"`
	Deliver        alertd.Delivery `json:"deliver"`
	Calendar       string          `json:"calendar,omitempty"`
	GroupWait      model.Duration  `json:"group_wait"`
	GroupInterval  model.Duration  `json:"group_interval"`
	RepeatInterval model.Duration  `json:"repeat_interval"`
	RepageInterval model.Duration  `json:"repage_interval,omitempty"`
	AckTimeout     model.Duration  `json:"ack_timeout,omitempty"`
	Escalation     []routeCall     `json:"escalation,omitempty"`
	At             *time.Time      `json:"at"` // null: never
	Why            []string        `json:"why"`

	zone  *time.Location // that the reader is shown
	began time.Time
}

// routeCall is a step of an escalation: who is called in, unless somebody has taken the alert by then.
type routeCall struct {
	Receiver string         `json:"receiver"`
	Sends    []string       `json:"sends"`
	After    model.Duration `json:"after"` // it was told
	At       time.Time      `json:"at"`
}

func newRouteReport(r *config.Routing, ls alertd.Labels, at time.Time) routeReport {
	out := routeReport{Labels: ls, At: at.UTC(), Deliveries: []routeDelivery{}}
	for _, d := range r.Depends.Of(alertd.ServiceOf(ls)) {
		out.DependsOn = append(out.DependsOn, dependency{d.On, d.How})
	}
	for _, s := range r.Root.Trace(ls) {
		step := routeStep{Depth: s.Depth, Matchers: amlabels.Matchers(s.Route.Matchers).String(), Receiver: s.Route.Receiver, Outcome: s.Outcome}
		switch {
		case s.Outcome == router.Missed && s.Value == "":
			step.Why = fmt.Sprintf("%s: there is no label %s", s.Mismatch, s.Mismatch.Name)
		case s.Outcome == router.Missed:
			step.Why = fmt.Sprintf("%s: it is %q", s.Mismatch, s.Value)
		case s.Outcome == router.NotTried:
			step.Why = "a route before it took the alert"
		case s.Outcome == router.PassedOn:
			step.Why = "a route below takes it"
		case len(s.Route.Routes) > 0:
			step.Why = "no route below wants it"
		}
		if s.Outcome != router.Missed && s.Route.Continue {
			step.Why = join(step.Why, "continues")
		}
		out.Steps = append(out.Steps, step)
		if s.Decision != nil {
			d := *s.Decision
			if alertd.SeverityOf(ls) != alertd.Critical { // nobody is chased for anything else
				d.RepageInterval, d.Escalation = 0, nil
			}
			out.Deliveries = append(out.Deliveries, newDelivery(r, d, at))
		}
	}
	return out
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

func newDelivery(r *config.Routing, d router.Decision, at time.Time) routeDelivery {
	out := routeDelivery{
		Receiver: d.Receiver, Sends: sends(r, d.Receiver), Route: d.Path, GroupKey: d.GroupKey, GroupLabels: d.GroupLabels,
		Deliver: d.Deliver, Calendar: d.Calendar, GroupWait: model.Duration(d.GroupWait),
		GroupInterval: model.Duration(d.GroupInterval), RepeatInterval: model.Duration(d.RepeatInterval),
		RepageInterval: model.Duration(d.RepageInterval), AckTimeout: model.Duration(d.AckTimeout),
		zone: time.UTC, began: at.UTC(),
	}
	if d.Deliver == alertd.Dashboard {
		out.Calendar, out.Why = "", []string{"deliver: dashboard: it is on record, and nobody is told"}
		return out
	}
	due := at.UTC().Add(d.GroupWait)
	if d.GroupWait > 0 {
		out.Why = append(out.Why, fmt.Sprintf("group_wait %s: a new group waits so long for more alerts", model.Duration(d.GroupWait)))
	} else {
		out.Why = append(out.Why, "group_wait 0s: a new group does not wait for more alerts")
	}
	// A calendar and time intervals may hand an alert to each other; within this many rounds they have agreed, or never will.
	for range 100 {
		next, why := gate(r, d, due)
		if why == "" {
			out.At = &due
			break
		}
		out.Why = append(out.Why, why)
		if next.IsZero() {
			return out
		}
		due = next
	}
	if out.At == nil {
		out.Why = append(out.Why, "calendar and time intervals never let it through together")
	}
	if d.Escalation != nil && out.At != nil {
		for _, s := range d.Escalation.Steps {
			out.Escalation = append(out.Escalation, routeCall{Receiver: s.Receiver, Sends: sends(r, s.Receiver), At: out.At.Add(s.After), After: model.Duration(s.After)})
		}
	}
	if c := r.Calendars[d.Calendar]; d.Deliver == alertd.BusinessHours && c != nil {
		out.zone = c.Location()
	}
	return out
}

// gate asks what a running daemon asks before it tells something new: first the calendar, then the time intervals. A zero time
// next to a reason says that nothing is ever told.
func gate(r *config.Routing, d router.Decision, at time.Time) (next time.Time, why string) {
	if c := r.Calendars[d.Calendar]; d.Deliver == alertd.BusinessHours && c != nil && !c.IsOpen(at) {
		next = c.NextOpen(at)
		return next, fmt.Sprintf("deliver: business_hours: calendar %s is closed and opens %s; then it is part of the digest",
			d.Calendar, showDay(next, c.Location()))
	}
	if by, until, muted := r.Intervals.Muted(at, d.Mute, d.Active); muted {
		kind := "mute_time_intervals"
		if len(d.Active) > 0 && strings.Contains(strings.Join(d.Active, ", "), by) {
			kind = "active_time_intervals"
		}
		for more := true; more; { // they look some days ahead, and then somebody asks again
			if until.After(at.AddDate(4, 0, 0)) {
				return time.Time{}, fmt.Sprintf("%s: %s keeps it for good", kind, by)
			}
			var next time.Time
			if _, next, more = r.Intervals.Muted(until, d.Mute, d.Active); more {
				until = next
			}
		}
		return until, fmt.Sprintf("%s: %s keeps it until %s", kind, by, showDay(until, time.UTC))
	}
	return time.Time{}, ""
}

// sends are the kinds of destinations of a receiver.
func sends(r *config.Routing, name string) []string {
	kinds := []string{}
	for _, rc := range r.Receivers {
		if rc.Name != name {
			continue
		}
		for _, k := range []struct {
			kind string
			n    int
		}{{config.KindSlack, len(rc.Slack)}, {config.KindWebhook, len(rc.Webhook)}} {
			for range k.n {
				kinds = append(kinds, k.kind)
			}
		}
		if rc.Console {
			kinds = append(kinds, config.KindConsole)
		}
	}
	return kinds
}

// showDay is an instant as people plan with it.
func showDay(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("Mon 2006-01-02 15:04") + " " + zoneName(t, zone)
}

// zoneName is the abbreviation in force, where the zone has one that is not just the offset, as in "+0530 +0530".
func zoneName(t time.Time, zone *time.Location) string {
	name, _ := t.In(zone).Zone()
	if strings.ContainsAny(name, "+-") {
		return t.In(zone).Format("-07:00")
	}
	return name
}

// write prints the tree, then each delivery.
func (r routeReport) write(w io.Writer) error {
	var tree table
	tree.head = []string{"ROUTE", "RECEIVER", "OUTCOME", "WHY"}
	for _, s := range r.Steps {
		tree.add(strings.Repeat("  ", s.Depth)+cmp.Or(s.Matchers, "{}"), s.Receiver, string(s.Outcome), s.Why)
	}
	// The tree may be wide, and its shape is in the first column: clip that one as well.
	for i := range tree.rows {
		tree.rows[i][0] = clip(indented(r.Steps[i]), prose(w)/2)
	}
	err := tree.write(w)
	for _, d := range r.Deliveries {
		err = errors.Join(err, d.write(w))
	}
	if err == nil && len(r.DependsOn) > 0 {
		_, err = fmt.Fprintf(w, "\nWithheld while one of these has a critical alert that fires:\n")
	}
	for _, d := range r.DependsOn {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %s (%s)\n", printable(d.Service), printable(d.How))
		}
	}
	if err == nil {
		_, err = fmt.Fprintln(w, "\nSilences, inhibition and what was told before are not looked at: a daemon at work knows them.")
	}
	return err
}

// indented keeps the spaces that make the tree.
func indented(s routeStep) string {
	return strings.Repeat("  ", s.Depth) + printable(cmp.Or(s.Matchers, "{}"))
}

func (d routeDelivery) write(w io.Writer) error {
	var b strings.Builder
	line := func(key, text string) {
		for i, part := range wrap(printable(text), prose(w)-12) {
			if i > 0 {
				key = ""
			}
			fmt.Fprintf(&b, "%-10s  %s\n", key, part)
		}
	}
	b.WriteByte('\n')
	to := d.Receiver + " (" + strings.Join(d.Sends, ", ") + ")"
	if len(d.Sends) == 0 {
		to = d.Receiver + " (it has no destination: nobody is told)"
	}
	line("receiver", to)
	line("group", d.GroupLabels.String())
	line("group key", string(d.GroupKey))
	if d.At == nil {
		line("told", "nobody")
	} else {
		line("told", showDay(*d.At, d.zone)+", if the alert begins to fire at "+d.began.In(d.zone).Format("15:04:05")+" and stays")
		line("then", fmt.Sprintf("changes of the group every %s, repeated every %s", d.GroupInterval, d.RepeatInterval))
	}
	if d.At != nil && d.RepageInterval > 0 {
		line("critical", fmt.Sprintf("told again every %s until somebody acknowledges it", d.RepageInterval))
	}
	for i, s := range d.Escalation {
		key := ""
		if i == 0 {
			key = "escalation"
		}
		to := s.Receiver
		if len(s.Sends) == 0 {
			to += " (it has no destination: nobody is told)"
		}
		line(key, fmt.Sprintf("%s: %s, if nobody has acknowledged it for %s", showDay(s.At, d.zone), to, s.After))
	}
	for i, why := range d.Why {
		key := ""
		if i == 0 {
			key = "why"
		}
		line(key, why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap breaks text at spaces into lines of at most width characters; a longer word stays whole.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
