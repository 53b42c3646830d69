package rules

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what Parse says into the golden files")

// TestParseErrors: each file in testdata/bad is followed, in a file of the same name, by all that is wrong with it.
func TestParseErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		set, err := Parse([]File{{filepath.Base(name), src}})
		if err == nil || set != nil {
			t.Errorf("%s: no error", name)
			continue
		}
		golden := strings.TrimSuffix(name, ".yaml") + ".golden"
		if *rewrite {
			if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, _ := os.ReadFile(golden)
		if err.Error()+"\n" != string(want) {
			t.Errorf("%s:\n got\n%s\nwant\n%s", name, err, want)
		}
	}
}

func TestParseReadsWhatPrometheusReads(t *testing.T) {
	set := mustParse(t, `
groups:
- &base
  name: g
  interval: 15s
  limit: 3
  labels: {team: a, tier: b}
  rules:
  - alert: Twice
    expr: m > 1
    for: 5m
    keep_firing_for: 1h30m
    labels: &common {severity: page, number: 1, yes: true, tier: c}
    annotations: {summary: x}
  - alert: Twice
    expr: m > 2
    labels: {<<: *common, severity: info}
  - alert: "bad-utf8 ß"
    expr: '{"metric.name"} > 1'
- <<: *base
  name: h
- name: empty
- name: norules
  rules:
`)
	var ids []string
	for _, r := range set.Rules() {
		ids = append(ids, r.ID)
	}
	want := "test.yaml:g:Twice test.yaml:g:Twice#2 test.yaml:g:bad-utf8 ß test.yaml:h:Twice test.yaml:h:Twice#2 test.yaml:h:bad-utf8 ß"
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("ids %s", got)
	}
	r := set.groups[0].rules
	if r[0].meta.For.Minutes() != 5 || r[0].meta.KeepFiringFor.Minutes() != 90 || set.groups[0].limit != 3 {
		t.Errorf("%+v", r[0].meta)
	}
	text := func(list []pair) (out string) {
		for _, p := range list {
			out += p.name + "=" + p.value + " "
		}
		return out
	}
	if got := text(r[0].labels); got != "number=1 severity=page team=a tier=c yes=true " {
		t.Error(got)
	}
	if got := text(r[1].labels); got != "number=1 severity=info team=a tier=c yes=true " {
		t.Error(got)
	}
	for _, src := range []string{"", "---", "# nothing", "groups:", "groups: []", "{}"} {
		if set, err := Parse([]File{{"f", []byte(src)}}); err != nil || len(set.Rules()) != 0 {
			t.Errorf("%q: %v", src, err)
		}
	}
}

func TestParseOneNameTwice(t *testing.T) {
	_, err := Parse([]File{{"a", []byte("groups: []")}, {"a", []byte("groups: []")}})
	if err == nil || !strings.HasPrefix(err.Error(), "a:1:1: a second file of that name") {
		t.Error(err)
	}
}

// The shipped rules are read, and none of them needs all series at once except the one about alertd itself.
func TestShippedRulesAreKeyed(t *testing.T) {
	var files []File
	for _, name := range []string{"critical.yaml", "warning.yaml", "info.yaml", "events.yaml", "self.yaml"} {
		src, err := fs.ReadFile(Shipped(), name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{name, src})
	}
	set, err := Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	e := NewEvaluator(set, Options{}, t0)
	for i, x := range set.Explain() {
		if x.Rule == nil { // a recording rule
			continue
		}
		if !x.Rule.Occurrence && !x.Keyed && x.File != "self.yaml" {
			t.Errorf("%s is evaluated whole: %s", x.Rule.ID, x.Partition.Whole)
		}
		t.Logf("%-50s %-45s compiled %v", x.Rule.ID, x.Partition, e.rules[i].program != nil)
	}
}

func FuzzParse(f *testing.F) {
	seeds, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, name := range seeds {
		if src, err := os.ReadFile(name); err == nil {
			f.Add(src)
		}
	}
	f.Add([]byte(alerts("m > 1", ratio)))
	f.Add([]byte("groups: &a\n- rules: *a\n"))
	f.Add([]byte("groups: [{name: g, rules: [{<<: &x {<<: *x}, alert: A}]}]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		set, err := Parse([]File{{"f", src}})
		if (set == nil) == (err == nil) {
			t.Fatalf("set %v, error %v", set, err)
		}
		if err != nil {
			for l := range strings.Lines(err.Error()) {
				if strings.HasPrefix(l, "f:0:") || strings.Contains(l, ":0: ") && strings.HasPrefix(l, "f:") && strings.Split(l, ":")[2] == "0" {
					t.Fatalf("no position: %s", l)
				}
			}
			return
		}
		set.Explain()
		e := NewEvaluator(set, Options{}, t0)
		e.Run(t0)
	})
}
