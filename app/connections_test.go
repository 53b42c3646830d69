package app

import "testing"

// Whatever clients do, there are files for pages.
func TestConnectionsLeaveFiles(t *testing.T) {
	for _, c := range []struct {
		files uint64
		want  int
	}{{0, 1}, {256, 128}, {512, 256}, {1024, 384}, {20_000, 4096}, {1 << 63, 4096}} {
		if got := connections(c.files); got != c.want {
			t.Errorf("of %d files clients get %d, want %d", c.files, got, c.want)
		}
	}
}
