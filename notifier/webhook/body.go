package webhook

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	amtemplate "github.com/prometheus/alertmanager/template"
	"go.yaml.in/yaml/v3"

	"alertd"
	"alertd/notifier"
)

// payload is Alertmanager's body. All keys but "alertd" are Alertmanager's.
type payload struct {
	*amtemplate.Data
	Version         string `json:"version"`
	GroupKey        string `json:"groupKey"`
	TruncatedAlerts int    `json:"truncatedAlerts"`
	Alertd          extra  `json:"alertd"`
}

// extra is what Alertmanager has no word for.
type extra struct {
	ID       string `json:"id"`
	Seq      uint64 `json:"seq"` // counts the group's notifications: a receiver may drop one that comes late
	Severity string `json:"severity"`
	Digest   bool   `json:"digest"`
	AckURL   string `json:"ackURL,omitempty"` // where people take what fires

	DueAt time.Time `json:"dueAt,omitzero"` // of a digest that leaves late: when it was to leave

	SilenceURL string `json:"silenceURL,omitempty"` // where they silence it: a form, filled in

	Summary *alertd.Summary `json:"summary,omitempty"` // what groups it is about, in place of a message for each
	Note    string          `json:"note,omitempty"`    // for people: what the summary comes to, or how late a digest is

	Acks    map[alertd.Fingerprint]alertd.Ack `json:"acks,omitempty"`    // who has what
	Problem string                            `json:"problem,omitempty"` // why this is not the body that the receiver asks for
}

// composed is a notification as it is to be sent.
type composed struct {
	to     place
	body   []byte
	remark error // in which way this is not what the receiver asks for
}

// compose finds out where to post what. The error is that there is nowhere to post to.
func (s *Sender) compose(n *alertd.Notification) (m composed, err error) {
	cut, truncated := *n, n.Truncated
	if limit := s.cfg.MaxAlerts; limit > 0 && len(n.Alerts) > limit {
		firing, resolved := notifier.Split(n)
		cut.Alerts = slices.Concat(firing, resolved)[:limit]
		truncated += len(n.Alerts) - limit
	}
	data := notifier.TemplateData(&cut, s.cfg.ExternalURL)
	expand := func(text string) (string, error) { return text, nil }
	if set := s.cfg.Templates; set != nil {
		if err := set.ExpandRouteLabels(data); err != nil {
			m.remark = fmt.Errorf("sent without a label of the route, since a template failed: %w", err)
		}
		expand = func(text string) (string, error) { return set.Expand(text, data) }
	}
	if m.to = s.fixed; s.templated() {
		to, err := expand(s.cfg.URL)
		if err != nil {
			return m, fmt.Errorf("the template of the URL failed: %w", err)
		}
		if m.to, err = placeOf(to); err != nil {
			return m, fmt.Errorf("what the template of the URL says is no URL: %w", err)
		}
	}
	body := payload{
		Data: data, Version: "4", GroupKey: string(n.Group), TruncatedAlerts: truncated,
		Alertd: extra{ID: n.ID, Seq: n.Seq, Severity: string(n.Severity()), Digest: n.Digest, AckURL: notifier.AckLink(n, s.cfg.ExternalURL), SilenceURL: notifier.SilenceLink(n, s.cfg.ExternalURL)},
	}
	body.Alertd.DueAt = n.DueAt.UTC()
	if late := notifier.Late(n); late != "" {
		body.Alertd.Note = "This digest is " + late + "."
	}
	if n.Summary != nil {
		body.Alertd.Summary, body.Alertd.Note = n.Summary, notifier.SummaryCounts(n.Summary)+". "+notifier.SummaryNote(n)
	}
	for i := range cut.Alerts {
		if a := &cut.Alerts[i]; a.Ack != nil {
			if body.Alertd.Acks == nil {
				body.Alertd.Acks = map[alertd.Fingerprint]alertd.Ack{}
			}
			ack := *a.Ack
			ack.Client = "" // is nobody else's business
			body.Alertd.Acks[a.Fingerprint] = ack
		}
	}
	if s.cfg.Payload != nil {
		if m.body, err = own(s.cfg.Payload, expand); err == nil {
			return m, nil
		}
		m.remark = fmt.Errorf("sent Alertmanager's body, since the payload's template failed: %w", err)
		body.Alertd.Problem = m.remark.Error()
	}
	m.body, err = json.Marshal(body)
	return m, err
}

// own makes the body that the receiver asks for: every text of the tree is expanded. What a text says then may be a number,
// a list or a map, as in Alertmanager; but only if all of it is one, so that "[FIRING:1] Disk" stays a text. Alertmanager
// makes ["FIRING:1"] of that, and says no more.
func own(tree any, expand func(string) (string, error)) ([]byte, error) {
	out, err := expanded(tree, expand)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func expanded(tree any, expand func(string) (string, error)) (any, error) {
	switch tree := tree.(type) {
	case []any:
		out := make([]any, len(tree))
		for i, item := range tree {
			var err error
			if out[i], err = expanded(item, expand); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(tree))
		for key, item := range tree {
			key, err := expand(key)
			if err != nil {
				return nil, err
			}
			if out[key], err = expanded(item, expand); err != nil {
				return nil, err
			}
		}
		return out, nil
	case string:
		text, err := expand(tree)
		if err != nil || goesOn(text) {
			return text, err
		}
		return amtemplate.DeepCopyWithTemplate(text, func(s string) (string, error) { return s, nil })
	}
	return tree, nil
}

// goesOn reports whether there is something behind the first value that YAML finds in a text.
func goesOn(text string) bool {
	d := yaml.NewDecoder(strings.NewReader(text))
	var first, second yaml.Node
	return d.Decode(&first) == nil && d.Decode(&second) != io.EOF
}
