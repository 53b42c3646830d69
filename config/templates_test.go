package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"alertd/config"
	"alertd/router"
	"alertd/templates"
)

func TestRouteLabels(t *testing.T) {
	r := parse(t, `
route:
  receiver: a
  labels: {team: ops, why: 'it is {{ .CommonLabels.severity }} for {{ routeLabels "team" }}'}
  routes:
    - matchers: [x="1"]
      labels: {team: shop}
      routes: [{matchers: [y="1"], labels: {floor: "3"}}]
receivers: [{name: a, labels: {owner: x}}, {name: b}]
`)
	var got []string
	r.Root.Walk(func(n *router.Route) { got = append(got, n.Labels.String()) })
	const why = `why="it is {{ .CommonLabels.severity }} for {{ routeLabels \"team\" }}"}`
	want := `{team="ops", ` + why + ` {team="shop", ` + why + ` {floor="3", team="shop", ` + why
	if strings.Join(got, " ") != want {
		t.Errorf("got %s\nwant %s", strings.Join(got, " "), want)
	}
	if a, b := r.Receivers[0].Labels.String(), r.Receivers[1].Labels.String(); a != `{name="a", owner="x"}` || b != `{name="b"}` {
		t.Errorf("receivers %s %s", a, b)
	}
}

// Template files belong to the configuration: they are found from the routing file, wherever it is, and a change in one is
// a change.
func TestTemplateFiles(t *testing.T) {
	dir := t.TempDir()
	const tmpl = `{{ define "slack.shop.text" }}hello{{ end }}`
	routing := "route: {receiver: a}\ntemplates: ['templates/*.tmpl', " + filepath.Join(dir, "templates", "abs*") + "]\nreceivers: [{name: a}]\n"
	for name, data := range map[string]string{
		"templates/shop.tmpl": tmpl, "templates/absolute": `{{ define "abs" }}ute{{ end }}`, "alertmanager.yml": routing, "templates/readme.md": "{{ if",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inside := fstest.MapFS{"routing.yaml": {Data: []byte(routing)}, "templates/shop.tmpl": {Data: []byte(tmpl)}}
	for _, load := range []func() (*config.Policy, error){
		func() (*config.Policy, error) { return config.Load(inside, env, os.ReadFile) },
		func() (*config.Policy, error) {
			return config.Load(config.WithRouting(nil, filepath.Join(dir, "alertmanager.yml")), env, os.ReadFile)
		},
	} {
		p, err := load()
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Routing.Templates.Expand(`{{ template "slack.shop.text" . }}{{ template "abs" . }}`, templates.Examples("", "")[0])
		if err != nil || got != "helloute" {
			t.Errorf("%q, %v", got, err)
		}
		inside["templates/shop.tmpl"].Data = []byte(strings.ReplaceAll(tmpl, "hello", "goodbye"))
		if err := os.WriteFile(filepath.Join(dir, "templates/shop.tmpl"), inside["templates/shop.tmpl"].Data, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := load()
		if err != nil || again.Version == p.Version {
			t.Errorf("version %s became %s, %v", p.Version, again.Version, err)
		}
		inside["templates/shop.tmpl"].Data = []byte(tmpl)
		if err := os.WriteFile(filepath.Join(dir, "templates/shop.tmpl"), []byte(tmpl), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inside["templates/shop.tmpl"].Data = []byte("\n{{ define x }}")
	if _, err := config.Load(inside, env, os.ReadFile); err == nil || !strings.HasPrefix(err.Error(), "templates/shop.tmpl:2:1: ") {
		t.Errorf("got %v", err)
	}
}
