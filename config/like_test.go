package config_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"alertd/config"
	"alertd/templates"
)

// What Alertmanager accepts is accepted, and what it refuses is refused; what texts say is what they say there.
func TestLikeAmtool(t *testing.T) {
	amtool, err := exec.LookPath("amtool")
	if err != nil {
		t.Skipf("no amtool to compare with (Debian has it in prometheus-alertmanager): %v", err)
	}
	files, err := filepath.Glob("testdata/like/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		out, theirs := exec.Command(amtool, "check-config", file).CombinedOutput()
		_, ours := config.Load(config.WithRouting(nil, file), env, os.ReadFile)
		if (theirs == nil) != (ours == nil) {
			t.Errorf("%s: amtool %v\n%s\nalertd %v", file, theirs, out, ours)
		}
	}

	p, err := config.Load(config.WithRouting(nil, "testdata/like/teams.yml"), env, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range templates.Examples("shop", "http://alertd.example.org") {
		data, err := json.Marshal(example)
		if err != nil {
			t.Fatal(err)
		}
		dataFile := filepath.Join(t.TempDir(), "data.json")
		if err := os.WriteFile(dataFile, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"slack.shop.title", "slack.shop.text", "__shop_severity", "__shop_silence"} { // amtool lacks the defaults
			text := `{{ template "` + name + `" . }}`
			out, err := exec.Command(amtool, "template", "render", "--template.glob=testdata/like/templates/*.tmpl", "--template.text="+text, "--template.data="+dataFile).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
			got, err := p.Routing.Templates.Expand(text, example)
			if want := strings.TrimSuffix(string(out), "\n"); err != nil || strings.TrimSuffix(got, "\n") != want {
				t.Errorf("%s: %v\n%q\namtool %q", name, err, got, want)
			}
		}
	}
}
