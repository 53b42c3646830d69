package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

type versionCmd struct{}

// Run prints the version, the commit where the build knows it, and what it was built with.
func (versionCmd) Run(std streams) error {
	_, err := fmt.Fprintf(std.out, "alertd %s%s (%s, %s/%s)\n",
		versionText(), commitText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
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

// commitText is " commit 0123456789ab", with "+changes" where the tree was not clean.
func commitText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var commit, changes string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			commit = " commit " + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = "+changes"
		}
	}
	if commit == "" {
		return ""
	}
	return commit + changes
}
