package templates

import (
	"fmt"
	"slices"
)

// Slack is what a Slack message says, each text a template: the keys of Alertmanager's slack_configs. See [DefaultSlack].
type Slack struct {
	MessageText string // above the attachment

	Title, TitleLink, Pretext, Text, Fallback, Color, Footer, ImageURL, ThumbURL, CallbackID string

	Fields      []SlackField
	ShortFields bool // of fields that do not say it themselves
	Actions     []SlackAction
	MrkdwnIn    []string // in which of the texts markup is shown
}

// SlackField is a title and a value in a table.
type SlackField struct {
	Title, Value string
	Short        *bool // whether another one has room beside it
}

// SlackAction is a button: a link, or, with a Name, one that a Slack app of the user's own answers.
type SlackAction struct {
	Type, Text, URL, Style, Name, Value string
	Confirm                             *SlackConfirm // nil: asks nothing
}

// SlackConfirm asks before a button does what it does.
type SlackConfirm struct{ Title, Text, OKText, DismissText string }

// DefaultSlack is what Alertmanager says where its slack_configs say nothing.
func DefaultSlack() Slack {
	return Slack{
		Color:      `{{ template "slack.default.color" . }}`,
		Title:      `{{ template "slack.default.title" . }}`,
		TitleLink:  `{{ template "slack.default.titlelink" . }}`,
		Pretext:    `{{ template "slack.default.pretext" . }}`,
		Text:       `{{ template "slack.default.text" . }}`,
		Fallback:   `{{ template "slack.default.fallback" . }}`,
		CallbackID: `{{ template "slack.default.callbackid" . }}`,
		Footer:     `{{ template "slack.default.footer" . }}`,
		MrkdwnIn:   []string{"fallback", "pretext", "text"},
	}
}

// Expand returns s with every text expanded. The error names the key.
func (s Slack) Expand(expand func(text string) (string, error)) (Slack, error) {
	s.Fields, s.Actions = slices.Clone(s.Fields), slices.Clone(s.Actions)
	for i := range s.Actions {
		if c := s.Actions[i].Confirm; c != nil {
			clone := *c
			s.Actions[i].Confirm = &clone
		}
	}
	for _, t := range s.texts() {
		out, err := expand(*t.text)
		if err != nil {
			return Slack{}, fmt.Errorf("%s: %w", t.key, err)
		}
		*t.text = out
	}
	return s, nil
}

type keyed struct {
	key  string
	text *string
}

// texts are all of the templates.
func (s *Slack) texts() []keyed {
	all := []keyed{
		{"title", &s.Title},
		{"title_link", &s.TitleLink},
		{"pretext", &s.Pretext},
		{"text", &s.Text},
		{"message_text", &s.MessageText},
		{"fallback", &s.Fallback},
		{"color", &s.Color},
		{"footer", &s.Footer},
		{"image_url", &s.ImageURL},
		{"thumb_url", &s.ThumbURL},
		{"callback_id", &s.CallbackID},
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		key := fmt.Sprintf("fields[%d]", i)
		all = append(all, keyed{key, &f.Title}, keyed{key, &f.Value})
	}
	for i := range s.Actions {
		a := &s.Actions[i]
		key := fmt.Sprintf("actions[%d]", i)
		for _, to := range []*string{&a.Type, &a.Text, &a.URL, &a.Style, &a.Name, &a.Value} {
			all = append(all, keyed{key, to})
		}
		if c := a.Confirm; c != nil {
			for _, to := range []*string{&c.Title, &c.Text, &c.OKText, &c.DismissText} {
				all = append(all, keyed{key + ".confirm", to})
			}
		}
	}
	return all
}
