package ingest

import (
	"time"

	"github.com/prometheus/common/model"
)

// MaxValidFor bounds how long an event may ask to be believed.
const MaxValidFor = 24 * time.Hour

// validFor is how long the event wants to be believed: a duration like "10m", or a number of seconds.
func (o *object) validFor(otherwise time.Duration) (time.Duration, *fault) {
	f, ok, err := o.get("valid_for")
	if err != nil || !ok {
		return otherwise, err
	}
	var d time.Duration
	if s, isText := f.text(); isText {
		parsed, err := model.ParseDuration(s)
		if err != nil {
			return 0, faultf(f.at, `"valid_for" is %s; write it like "10m", or as a number of seconds`, describe(f.raw))
		}
		d = time.Duration(parsed)
	} else if v, end, isNumber := number(f.raw, 0); isNumber && end == len(f.raw) && v <= MaxValidFor.Seconds() {
		d = time.Duration(v * float64(time.Second)).Round(time.Millisecond)
	} else {
		return 0, faultf(f.at, `"valid_for" is %s; write it like "10m", or as a number of seconds, up to a day`, describe(f.raw))
	}
	if d <= 0 || d > MaxValidFor {
		return 0, faultf(f.at, `"valid_for" is %s; it must be more than nothing and a day at most`, describe(f.raw))
	}
	return d, nil
}
