package rules

import (
	"strings"
	"testing"
	"time"

	"alertd"
)

// TestTemplatesSeeWhatTheyAsk: series that only a template reads are in the window.
func TestTemplatesSeeWhatTheyAsk(t *testing.T) {
	for _, c := range []struct{ template, want string }{
		{`{{ with query "sum(b)" }}{{ . | first | value }}{{ end }}`, "3"},
		{`{{ range query (printf "b{x='%s'} offset 10m" $labels.x) }}{{ .Value }}{{ end }}`, "7"},
		{`{{ if $value }}{{ printf "c{x=%q}" .Labels.x | query | len }}{{ else }}{{ end }}`, "1"},
		{`{{ query "b" | len }} {{ "d" }}`, "1 d"},
		{`{{ "b" }}`, "b"},
	} {
		set := mustParse(t, alerts("a")+"    annotations: {summary: '"+strings.ReplaceAll(c.template, "'", "''")+"'}\n")
		e := NewEvaluator(set, Options{}, t0.Add(-11*time.Minute))
		e.Append(t0.Add(-10*time.Minute), 1, []alertd.Sample{sample(t, `b{x="1"}`, t0.Add(-10*time.Minute), 7)})
		e.Append(t0, 2, []alertd.Sample{
			sample(t, `b{x="1"}`, t0, 3), sample(t, `c{x="1",y="2"}`, t0, 4), sample(t, `e{x="1"}`, t0, 4), sample(t, `a{x="1"}`, t0, 5),
		})
		verdicts := e.CatchUp(t0)
		if len(verdicts) != 1 || len(verdicts[0].True) != 1 {
			t.Fatalf("%s: %v", c.template, verdicts)
		}
		if got := verdicts[0].True[0].Annotations.Labels().Get("summary"); got != c.want {
			t.Errorf("%s: %q, want %q", c.template, got, c.want)
		}
	}
}
