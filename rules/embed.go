package rules

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml
var shipped embed.FS

// Shipped is the folder of files that alertd runs on when it is given no other: the rules, by severity
// (critical.yaml, warning.yaml, info.yaml, self.yaml) and, for what one event is enough, in events.yaml; the routing
// (routing.yaml) and the health targets (health.yaml). It is read-only and safe to share between goroutines.
func Shipped() fs.FS { return shipped }
