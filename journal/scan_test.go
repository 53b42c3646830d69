package journal

import (
	"errors"
	"testing"
)

// What was written a moment ago is on its way; what is still missing at the second look was lost.
func TestStalledAtTheSecondLook(t *testing.T) {
	n := openLog(t, openBus(t, t.TempDir()))
	fill(t, n, 1)
	r := &reader{n: n, ch: &chain{next: 2}, from: 2, last: forEver}
	for range 3 {
		if err := r.compare(t.Context()); err != nil {
			t.Fatalf("nothing was written, and yet %v", err)
		}
	}
	fill(t, n, 1)
	if err := r.compare(t.Context()); err != nil {
		t.Errorf("the first look: %v", err)
	}
	if err := r.compare(t.Context()); !errors.Is(err, errStalled) {
		t.Errorf("the second look: %v", err)
	}
}
