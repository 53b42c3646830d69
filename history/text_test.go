package history

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
)

// A search finds a transition by the same words, whether they are written down or read from its other columns.
func TestTextOfColumns(t *testing.T) {
	s := fresh(t)
	seq, plainly := uint64(0), 0
	rapid.Check(t, func(t *rapid.T) {
		seq++
		word := rapid.OneOf(rapid.StringMatching(`[ -~]{0,12}`), rapid.StringMatching(`[A-Za-z0-9:,{}=. -]{1,20}`), rapid.String())
		name := rapid.StringMatching(`[a-z_]{1,8}`)
		a := alert(word.Draw(t, "alert"), word.Draw(t, "service"), word.Draw(t, "severity"), alertd.Firing, epoch)
		a.Annotations = labels.FromMap(rapid.MapOfN(name, word, 0, 4).Draw(t, "annotations"))
		a.Labels = labels.FromMap(rapid.MapOfN(name, word, 0, 4).Draw(t, "labels"))
		a.Trace.TraceID = ""
		e := turned(a, alertd.Inactive, alertd.ReasonTrue, epoch)
		if err := s.Apply(t.Context(), []Record{record(seq, e)}); err != nil {
			t.Fatal(err)
		}
		var text, stored string
		if err := s.read.QueryRow("SELECT "+transitionText+", text FROM transitions ORDER BY id DESC LIMIT 1").Scan(&text, &stored); err != nil {
			t.Fatal(err)
		}
		if stored == "" {
			plainly++
		}
		w := writer{}
		w.say(a.Name(), a.Rule, string(a.Severity()), string(alertd.ReasonTrue))
		w.sayLabels(a.Labels, a.Annotations)
		for word := range strings.FieldsSeq(strings.ToLower(string(w.text))) {
			if !strings.Contains(text, word) {
				t.Fatalf("%q is not in %q", word, text)
			}
		}
	})
	if plainly == 0 || plainly == int(seq) {
		t.Errorf("%d of %d are read from other columns", plainly, seq)
	}
}

// A file of before has the words of every transition written down, and they are found there.
func TestTextOfBefore(t *testing.T) {
	s := fresh(t)
	apply(t, s, story()...)
	if _, err := s.write.Exec("UPDATE transitions SET text = 'words of before' WHERE id = (SELECT min(id) FROM transitions)"); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{"before words": 1, "instance=10.0.0.7:8080": 2} {
		page, err := s.Transitions(t.Context(), Filter{Text: text})
		if err != nil || len(page.Transitions) != want {
			t.Errorf("%q finds %d, %v", text, len(page.Transitions), err)
		}
	}
}
