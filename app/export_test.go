package app

import "time"

// SetClock lets all decisions read another clock, until the returned function is called.
func SetClock(read func() time.Time) (restore func()) {
	before := clock
	clock = read
	return func() { clock = before }
}
