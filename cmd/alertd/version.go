package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

type versionCmd struct{ outputFlags }

// build is what this binary was made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"` // where the build knows it
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Run prints what the binary was made of.
func (c *versionCmd) Run(std streams) error {
	b := build{Version: versionText(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	b.Commit, b.Modified = commit()
	if c.Output == "json" {
		return writeJSON(std.out, b)
	}
	text := "alertd " + b.Version
	if b.Commit != "" {
		text += " commit " + b.Commit[:min(len(b.Commit), 12)]
	}
	if b.Modified {
		text += "+changes"
	}
	_, err := fmt.Fprintf(std.out, "%s (%s, %s)\n", text, b.Go, b.Platform)
	return err
}

// versionText is what the linker said, else what the module says of itself, else "devel".
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// commit is what the binary was built from, and whether the tree was changed; "": the build does not know.
func commit() (hash string, modified bool) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", false
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			hash = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	return hash, modified && hash != ""
}
