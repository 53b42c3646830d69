package runbooks_test

import (
	"fmt"
	"html"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"alertd/runbooks"
)

// none are the labels of no alert in particular.
var none = labels.EmptyLabels()

// file is a runbook with the given front matter lines.
func file(lines ...string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("---\n" + strings.Join(lines, "\n") + "\n---\nText.\n")}
}

func TestLoad(t *testing.T) {
	ix, err := runbooks.Load(fstest.MapFS{
		"disk.md":      file("alert: DiskFull", "severity: warning", "owner: ops", "next_steps: [Look., Delete.]"),
		"team/api.md":  file("alert: APIDown", "title: The API is down", "severity: critical", "next_steps: [Run.]"),
		"README.md":    {Data: []byte("no front matter, and none needed")},
		"picture.png":  {Data: []byte{0xff}},
		"windows.md":   {Data: []byte("---\r\nalert: CRLF\r\nseverity: info\r\nnext_steps: [x]\r\n---\r\nBody\r\n")},
		"just-head.md": {Data: []byte("---\nalert: Head\nseverity: info\nnext_steps: [x]\n---")},
	})
	if err != nil {
		t.Fatal(err)
	}
	rb, ok := ix.Find("DiskFull")
	if !ok || rb.Title != "DiskFull" || rb.Owner != "ops" || rb.Body != "Text." || rb.File != "disk.md" ||
		!slices.Equal(rb.NextSteps, []string{"Look.", "Delete."}) {
		t.Errorf("DiskFull: %v %+v", ok, rb)
	}
	if rb, _ := ix.Find("APIDown"); rb.Title != "The API is down" {
		t.Errorf("a title is kept: %+v", rb)
	}
	if rb, _ := ix.Find("CRLF"); rb.Body != "Body" {
		t.Errorf("line ends of Windows: %+v", rb)
	}
	if _, ok := ix.Find("diskfull"); ok {
		t.Error("alert names are case-sensitive")
	}
	var names []string
	for _, rb := range ix.All() {
		names = append(names, rb.Alert)
	}
	if want := []string{"APIDown", "CRLF", "DiskFull", "Head"}; !slices.Equal(names, want) {
		t.Errorf("All: %v, want %v", names, want)
	}
}

func TestLoadReportsEveryMistake(t *testing.T) {
	for _, c := range []struct {
		name, src string
		want      []string // each part of the error
	}{
		{"none", "Just text.\n", []string{"bad.md:1:1: no front matter", `"alert: NAME"`}},
		{"open", "---\nalert: X\n", []string{"bad.md:1:1: the front matter does not end"}},
		{"empty", "---\n---\nText\n", []string{"no alert", "no next_steps"}},
		{"unknown key", "---\nalert: X\nseverty: info\nnext_steps: [a]\n---\n", []string{"bad.md", "line 3", "severty"}},
		{"not a list", "---\nalert: X\nseverity: info\nnext_steps: {a: 1}\n---\n", []string{"line 4"}},
		{"broken yaml", "---\nalert: [\n---\n", []string{"bad.md: front matter: yaml: line"}},
		{
			"two mistakes", "---\nalert: a/b\nseverity:   loud\nnext_steps: [x, ' ']\n---\n",
			[]string{`bad.md:2:8: alert "a/b"`, `bad.md:3:13: severity "loud" is not one of critical, warning, info`, "bad.md:4:13: next step 2 is empty"},
		},
		{"bytes", "---\nalert: \xff\n---\n", []string{"bad.md:1:1: not UTF-8"}},
		{"huge", "---\nalert: X\n---\n" + strings.Repeat("x", 300<<10), []string{"bad.md:1:1: longer than 256 KiB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ix, err := runbooks.Load(fstest.MapFS{"bad.md": {Data: []byte(c.src)}})
			if err == nil || ix != nil {
				t.Fatalf("accepted: %v", ix)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error lacks %q:\n%v", part, err)
				}
			}
		})
	}
}

func TestLoadRefusesTwoForOneAlert(t *testing.T) {
	_, err := runbooks.Load(fstest.MapFS{
		"a.md": file("alert: X", "severity: info", "next_steps: [a]"),
		"b.md": file("alert: X", "severity: info", "next_steps: [b]"),
	})
	if err == nil || !strings.Contains(err.Error(), `b.md:1:1: a.md is already the runbook for alert "X"`) {
		t.Error(err)
	}
}

func TestURL(t *testing.T) {
	ix, err := runbooks.Load(fstest.MapFS{"a.md": file("alert: 'Disk full? 100%'", "severity: info", "next_steps: [a]")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ external, alert, want string }{
		{"http://h:9093", "Disk full? 100%", "http://h:9093/runbooks/Disk%20full%3F%20100%25"},
		{"https://h/alertd/", "Disk full? 100%", "https://h/alertd/runbooks/Disk%20full%3F%20100%25"},
		{"http://h:9093", "Other", ""},
		{"", "Disk full? 100%", ""},
	} {
		if got := ix.URL(c.external, c.alert); got != c.want {
			t.Errorf("URL(%q, %q) = %q, want %q", c.external, c.alert, got, c.want)
		}
	}
}

func TestDangling(t *testing.T) {
	ix, err := runbooks.Load(fstest.MapFS{"a.md": file("alert: A", "severity: info", "next_steps: [a]")})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ix.Dangling([]string{"C", "A", "B", "C"}), []string{"B", "C"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := ix.Dangling([]string{"A"}); len(got) != 0 {
		t.Errorf("%v, want none", got)
	}
}

// Own runbooks win over the shipped ones; those of alerts that no rule has are named.
func TestBeside(t *testing.T) {
	ix, err := runbooks.Beside(fstest.MapFS{
		"rules.yaml":                  {Data: []byte("groups: []")},
		"runbooks/ApplicationDown.md": file("alert: ApplicationDown", "title: Ours", "severity: critical", "next_steps: [a]"),
		"runbooks/team/old.md":        file("alert: Old", "severity: info", "next_steps: [a]"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if rb, ok := ix.Find("ApplicationDown"); !ok || rb.Title != "Ours" || !rb.Own || rb.File != "runbooks/ApplicationDown.md" {
		t.Errorf("%v %+v", ok, rb)
	}
	if rb, ok := ix.Find("HighErrorRate"); !ok || rb.Own {
		t.Errorf("%v %+v", ok, rb)
	}
	if got := ix.Unused([]string{"ApplicationDown"}); len(got) != 1 || got[0].Alert != "Old" {
		t.Errorf("unused: %+v", got)
	}
	if _, err := runbooks.Beside(fstest.MapFS{"runbooks/x.md": {Data: []byte("text")}}); err == nil || !strings.Contains(err.Error(), "runbooks/x.md:1:1: no front matter") {
		t.Error(err)
	}
	if ix, err := runbooks.Beside(fstest.MapFS{}); err != nil || len(ix.All()) == 0 {
		t.Error(err)
	}
}

// Labels stand where the runbook names them, and are never markup.
func TestLabelsInText(t *testing.T) {
	about := labels.FromStrings("service", "api", "evil", "<img src=x>`\n\n# x [y](javascript:alert(1))", "url", "javascript:alert(1)//")
	for src, want := range map[string]string{
		"Ask {{ $labels.service }} about {{$labels.zone}}.": "<p>Ask api about ZONE.</p>",
		"`curl {{ $labels.service }}`":                      "<p><code>curl api</code></p>",
		"```\ncurl {{ $labels.evil }}\n```":                 "<pre><code>curl EVIL\n</code></pre>",
		"`curl {{ $labels.evil }}` {{ $labels.service }}":   "<p><code>curl EVIL</code> api</p>",
		"[x](https://g.example/?s={{$labels.evil}})":        `<p><a href="https://g.example/?s=%3Cimg%20src%3Dx%3E%60%20%23%20x%20%5By%5D%28javascript%3Aalert%281%29%29">x</a></p>`,
		"[x]({{$labels.url}})":                              `<p><a href="javascript%3Aalert%281%29%2F%2F">x</a></p>`,
		"{{ $labels.evil }}":                                "<p>&lt;img src=x&gt;` # x [y](javascript:alert(1))</p>",
	} {
		out, err := runbooks.HTML(runbooks.Runbook{Body: src}, about)
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s:\n got %s\nwant %s", src, got, want)
		}
	}
	if got := runbooks.Fill("{{ $labels.service }}, {{ $labels.pod }}, {{ other }}", about); got != "api, POD, {{ other }}" {
		t.Error(got)
	}
}

// What people copy into a terminal is a word, whatever an alert calls itself; elsewhere its name is told as it is.
func TestCommandsAreNotWrittenByLabels(t *testing.T) {
	for value, word := range map[string]bool{
		"api": true, "/dev/sda1": true, "10.0.0.1:8080": true, "größe_1": true, "a=b": true, "user@host": true,
		"$(reboot)": false, "`reboot`": false, "a; reboot": false, "a' -o /etc/passwd '": false, `a"} or vector(1)`: false, "--url=http://evil.example": false,
		"-rf": false, "a|sh": false, "a>b": false, "a&b": false, "~root": false, "*": false, "a\nb": false, "a\\b": false, "#a": false, "a{b,c}": false, "!!": false,
	} {
		want := value
		if !word {
			want = "SERVICE"
		}
		about := labels.FromStrings("service", value)
		if got := runbooks.Fill("run `x {{ $labels.service }}` now", about); got != "run `x "+want+"` now" {
			t.Errorf("%q in a step: %s", value, got)
		}
		for _, src := range []string{"run `x {{ $labels.service }}` now", "```\nx {{ $labels.service }}\n```\n", "    x {{ $labels.service }}\n"} {
			out, err := runbooks.HTML(runbooks.Runbook{Body: src}, about)
			if text := html.UnescapeString(string(out)); err != nil || !strings.Contains(text, "x "+want+"<") && !strings.Contains(text, "x "+want+"\n<") {
				t.Errorf("%q: %s", value, text)
			}
		}
	}
}

func TestHTMLIsSafe(t *testing.T) {
	for src, bad := range map[string]string{
		"<script>alert(1)</script>":            "<script",
		"[x](javascript:alert(1))":             "javascript:",
		"![x](data:text/html;base64,PHNjcmk=)": "data:text/html",
		"a <img src=x onerror=alert(1)> b":     "onerror",
		"# <svg onload=alert(1)>":              "<svg",
	} {
		out, err := runbooks.HTML(runbooks.Runbook{Body: src}, none)
		if err != nil || strings.Contains(string(out), bad) {
			t.Errorf("%s became %s (%v)", src, out, err)
		}
	}
	out, err := runbooks.HTML(runbooks.Runbook{Body: "## Do\n\n1. `df -h`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"}, none)
	for src, want := range map[string]string{
		"[b](B.md)":                     `href="B"`,
		"[b](https://example.com/B.md)": `href="https://example.com/B.md"`,
		"[b](../docs/B.md)":             `href="../docs/B.md"`,
	} {
		if out, err := runbooks.HTML(runbooks.Runbook{Body: src}, none); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s became %s (%v), want %s", src, out, err, want)
		}
	}
	for _, want := range []string{`<h2 id="do">Do</h2>`, "<ol>", "<code>df -h</code>", "<td>1</td>"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("lacks %s: %s (%v)", want, out, err)
		}
	}
}

// TestShipped holds the shipped runbooks against the shipped rules: one for each, of the same severity, with the
// parts that a person looks for at night, and links that lead somewhere.
func TestShipped(t *testing.T) {
	ix, err := runbooks.Load(runbooks.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	severities := shippedRules(t)
	if missing := ix.Dangling(keys(severities)); len(missing) > 0 {
		t.Errorf("rules without a runbook: %v", missing)
	}
	for _, rb := range ix.All() {
		switch severity, ok := severities[rb.Alert]; {
		case !ok:
			t.Errorf("%s is for no shipped rule", rb.File)
		case severity != string(rb.Severity):
			t.Errorf("%s says %s, its rule says %s", rb.File, rb.Severity, severity)
		}
		if rb.File != rb.Alert+".md" {
			t.Errorf("%s is for %s: name the file after the alert", rb.File, rb.Alert)
		}
		if rb.Owner == "" || rb.Title == rb.Alert {
			t.Errorf("%s lacks an owner or a title", rb.File)
		}
		want := []string{"What it means", "How to see it", "First three things to do", "When to escalate", "What to write down"}
		if got := headings(rb.Body); !slices.Equal(got, want) {
			t.Errorf("%s has the headings %q, not %q", rb.File, got, want)
		}
		if !strings.Contains(rb.Body, "\n3. ") || strings.Contains(rb.Body, "\n4. ") {
			t.Errorf("%s does not list three things to do", rb.File)
		}
		if words := len(strings.Fields(rb.Body)); words > 400 {
			t.Errorf("%s has %d words: too long for 3 a.m.", rb.File, words)
		}
		for _, link := range links(rb.Body) {
			if _, ok := ix.Find(strings.TrimSuffix(link, ".md")); !ok && !strings.HasPrefix(link, "https://") {
				t.Errorf("%s links to %q, which is no runbook", rb.File, link)
			}
		}
		if _, err := runbooks.HTML(rb, none); err != nil {
			t.Error(err)
		}
	}
}

// shippedRules reads alert names and severities straight from the rule files: the packages may not know each other.
func shippedRules(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../rules/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no rule files", err)
	}
	found := make(map[string]string)
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Groups []struct {
				Rules []struct {
					Alert  string
					Labels struct{ Severity string }
				}
			}
		}
		if err := yaml.Unmarshal(src, &f); err != nil {
			t.Fatal(err)
		}
		for _, g := range f.Groups {
			for _, r := range g.Rules {
				if r.Alert != "" { // else it records
					found[r.Alert] = r.Labels.Severity
				}
			}
		}
	}
	if len(found) < 12 {
		t.Errorf("%d shipped rules: they are not read", len(found))
	}
	return found
}

func keys(m map[string]string) (ks []string) {
	for k := range m {
		ks = append(ks, k)
	}
	return ks
}

// headings are those of a Markdown text, at the level ##, without what is code.
func headings(body string) (found []string) {
	code := false
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "```") {
			code = !code
		}
		if heading, ok := strings.CutPrefix(line, "## "); ok && !code {
			found = append(found, heading)
		}
	}
	return found
}

// links are the targets of [text](target).
func links(body string) (targets []string) {
	for _, part := range strings.Split(body, "](")[1:] {
		target, _, _ := strings.Cut(part, ")")
		targets = append(targets, target)
	}
	return targets
}

func FuzzParse(f *testing.F) {
	entries, err := fs.Glob(runbooks.Shipped(), "*.md")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range entries {
		src, err := fs.ReadFile(runbooks.Shipped(), name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte("---\nalert: a\nseverity: info\nnext_steps: [x]\n---\n<script>[a](JaVaScript:x)\n<a href='javascript:1'>"))
	f.Add([]byte("---\n&a alert: *a\n---\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		rb, err := runbooks.Parse("fuzz.md", src)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz.md:") {
				t.Errorf("error does not name the file: %v", err)
			}
			return
		}
		if rb.Alert == "" || rb.Title == "" || len(rb.NextSteps) == 0 {
			t.Errorf("accepted %+v", rb)
		}
		out, err := runbooks.HTML(rb, none)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"<script", `href="javascript:`, "<iframe", "<img src=\"javascript:"} {
			if strings.Contains(strings.ToLower(string(out)), bad) {
				t.Errorf("%s in %s", bad, out)
			}
		}
	})
}

func ExampleIndex_URL() {
	ix, err := runbooks.Load(runbooks.Shipped())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ix.URL("https://alerts.example.com", "ApplicationDown"))
	// Output: https://alerts.example.com/runbooks/ApplicationDown
}
