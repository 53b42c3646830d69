package app

import (
	"testing"
	"time"
)

// SetClock lets all decisions read another clock, until the returned function is called.
func SetClock(read func() time.Time) (restore func()) {
	before := clock
	clock = read
	return func() { clock = before }
}

// Hold stops the loop of a node that leads, until the returned function is called.
func (a *App) Hold(t *testing.T) (goOn func()) {
	t.Helper()
	held, release, asked := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { asked <- a.ask(t.Context(), func(*leader) { close(held); <-release }) }()
	select {
	case <-held:
	case err := <-asked:
		t.Fatalf("the loop is not held: %v", err)
	}
	return func() { close(release); <-asked }
}
