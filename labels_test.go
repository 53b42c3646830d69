package alertd_test

import (
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
)

// TestCompareLabels: the order is the one in which Alertmanager's library sorts.
func TestCompareLabels(t *testing.T) {
	set := rapid.MapOfN(rapid.SampledFrom([]string{"a", "ab", "b", "c", "é"}), rapid.SampledFrom([]string{"1", "2"}), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := set.Draw(t, "a"), set.Draw(t, "b")
		like := func(m map[string]string) model.LabelSet {
			ls := model.LabelSet{}
			for k, v := range m {
				ls[model.LabelName(k)] = model.LabelValue(v)
			}
			return ls
		}
		want := 0
		switch x, y := like(a), like(b); {
		case x.Equal(y):
		case x.Before(y):
			want = -1
		default:
			want = 1
		}
		if got := alertd.CompareLabels(labels.FromMap(a), labels.FromMap(b)); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}
