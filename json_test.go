package alertd_test

import (
	"encoding/json"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// What is written must be what encoding/json would write.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", `"\`, "<&>", "a&b\n", "é\u2028", "\xff", "\x00\n\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if got := alertd.AppendText([]byte("x"), s); err != nil || string(got) != "x"+string(want) {
			t.Errorf("%q: %s, want x%s", s, got, want)
		}
		ls := labels.FromStrings("__name__", "m", "path", s+"/", "z", "<"+s)
		want, err = json.Marshal(ls.Map())
		if got := alertd.AppendLabels(nil, ls); err != nil || string(got) != string(want) {
			t.Errorf("%s: %s, want %s", ls, got, want)
		}
	})
}
