package demo

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"alertd/rules"
)

// hours is the line of the shipped routing that says when business hours are.
var hours = regexp.MustCompile(`(?m)^( +hours: ).*$`)

// WriteRules writes the shipped rules into dir, with one difference: business hours open two to three and a half minutes after
// now, every day of the week, so that whoever watches the demo sees warnings wait and then leave as a digest, at
// whatever hour of the day that is. The shipped calendar is in UTC, and so are these hours.
func WriteRules(dir string, now time.Time) error {
	shipped := rules.Shipped()
	names, err := fs.Glob(shipped, "*.yaml")
	if err != nil {
		return err
	}
	for _, name := range names {
		src, err := fs.ReadFile(shipped, name)
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		if name == "routing.yaml" {
			if !hours.Match(src) {
				return fmt.Errorf("demo: %s has no business hours to change", name)
			}
			src = hours.ReplaceAll(src, fmt.Appendf(nil, "${1}['mon-sun %s']", opening(now)))
		}
		if err := os.WriteFile(filepath.Join(dir, name), src, 0o644); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

// opening is the window of business hours, to the minute. The disk's warning fires after a little more than two
// minutes, and should be in the digest.
func opening(now time.Time) string {
	open := now.UTC().Add(3*time.Minute + 20*time.Second).Truncate(time.Minute)
	return open.Format("15:04") + "-" + open.Add(8*time.Hour).Format("15:04")
}
