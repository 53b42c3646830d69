package templates_test

import (
	"errors"
	"strings"
	"testing"

	"alertd/templates"
)

func parse(t *testing.T, text string) *templates.Set {
	t.Helper()
	s, err := templates.Parse(templates.File{Name: "dir/shop.tmpl", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMistakesHavePositions(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"{{ define \"a\" }}\n  x {{ .Alerts | toUper }}\n{{ end }}", `dir/shop.tmpl:2:5: function "toUper" not defined`},
		{"a\nb {{ if }}\n", `dir/shop.tmpl:2:3: missing value for if`},
		{"{{ define \"a\" }}", `dir/shop.tmpl:1:1: unexpected EOF`},
		{"\n\n  {{ range .Alerts }\n", `dir/shop.tmpl:3:3: unexpected "}" in operand`},
	} {
		_, err := templates.Parse(templates.File{Name: "dir/shop.tmpl", Data: []byte(tc.text)})
		if te, ok := errors.AsType[*templates.Error](err); !ok || te.Error() != tc.want {
			t.Errorf("%q: got %v, want %s", tc.text, err, tc.want)
		}
	}
}

func TestErrorsOfTexts(t *testing.T) {
	s := parse(t, "{{ define \"broken\" }}\n{{ .Nope }}{{ end }}")
	for text, want := range map[string]string{
		`{{ .Nope }}`:                  `<.Nope>: can't evaluate field Nope in type *template.Data`,
		"a\nb {{ .Nope }}":             `line 2: <.Nope>: can't evaluate field Nope in type *template.Data`,
		`{{ template "gone" . }}`:      `<{{template "gone" .}}>: template "gone" not defined`,
		`{{ template "broken" . }}`:    `shop.tmpl:2:4: executing "broken" at <.Nope>: can't evaluate field Nope in type *template.Data`,
		`{{ reReplaceAll "(" "" "" }}`: `<reReplaceAll "(" "" "">: error calling reReplaceAll: `,
	} {
		if err := s.Check(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		_, err := s.Expand(text, templates.Examples("r", "http://x")[0])
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// A file may define Alertmanager's names anew, and be used by its own name.
func TestDefines(t *testing.T) {
	s := parse(t, `{{ define "slack.default.text" }}hello{{ end }}whole`)
	if !s.Defines("slack.default.") || s.Defines("slack.default.title") || !s.Defines("shop.tmpl") {
		t.Error("what the file defines")
	}
	got, err := s.Expand(`{{ template "slack.default.text" . }} {{ template "shop.tmpl" . }} {{ template "slack.default.color" . }}`, templates.Examples("r", "http://x")[1])
	if err != nil || got != "hello whole good" {
		t.Errorf("%q, %v", got, err)
	}
}

// Route labels may refer to each other; those that go in circles are left out, and said.
func TestRouteLabels(t *testing.T) {
	s := parse(t, "")
	data := templates.Examples("r", "http://x")[0]
	data.RouteLabels["a"] = `<{{ routeLabels "b" }}>`
	data.RouteLabels["b"] = `{{ .GroupLabels.alertname }} {{ .NotificationReason }}`
	data.RouteLabels["loop"] = `{{ routeLabels "loop" }}`
	err := s.ExpandRouteLabels(data)
	if err == nil || !strings.Contains(err.Error(), "route label loop: ") || !strings.Contains(err.Error(), "cycle") {
		t.Errorf("got %v", err)
	}
	got, err := s.Expand(`{{ routeLabels "a" }}{{ routeLabels "loop" }} {{ .RouteLabels.b }} {{ .NotificationReason }}`, data)
	if want := "<Example unknown> Example unknown first notification"; err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

// What a text says, no text may break: neither the form of a template nor what it makes of an alert.
func FuzzExpand(f *testing.F) {
	for _, text := range []string{
		`{{ template "slack.default.title" . }}`, `{{ range .Alerts }}{{ .Labels.a | toUpper }}{{ end }}`, `{{ .Alerts.Firing | len }}`,
		`{{ (index .Alerts 9).Labels }}`, "{{ if }}\n{{", `{{ define "x" }}{{ template "x" . }}{{ end }}`, `{{ .StartsAt.Format "x" }}`, `{{ dict 1 }}`,
	} {
		f.Add(text)
	}
	s, err := templates.Parse()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "range") && strings.ContainsAny(text, "0123456789") || strings.Contains(text, "template") && strings.Contains(text, "define") {
			t.Skip("what an operator may write: a long loop")
		}
		mistake := s.Check(text)
		out, err := s.Expand(text, templates.Examples("r", "http://x")[0])
		if mistake != nil && err == nil && strings.Contains(text, "{{") {
			t.Errorf("%q is a mistake (%v) and says %q", text, mistake, out)
		}
	})
}
