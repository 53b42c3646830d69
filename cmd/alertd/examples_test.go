package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Every command has examples, every example is one of a command, and all of them are understood.
func TestExamples(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"my-rules/tests", "rules-of-today"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"alertmanager.yml", "events.ndjson", "my-rules/routing.yaml", "my-rules/tests/a.yaml"} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := map[string]bool{}
	for path := range examples {
		left[path] = true
	}
	k, err := newParser(new(commands))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range k.Model.Leaves(true) {
		path := strings.TrimPrefix(n.FullPath(), "alertd ")
		delete(left, path)
		if len(examples[path]) == 0 || !strings.Contains(n.Detail, examples[path][0]) {
			t.Errorf("%s has no example", path)
		}
		for _, line := range examples[path] {
			args := regexp.MustCompile(`'[^']*'|\S+`).FindAllString(strings.ReplaceAll(line, "*.yaml", "a.yaml"), -1)
			for i := range args {
				args[i] = strings.Trim(args[i], "'")
			}
			parser, err := newParser(new(commands), kong.Exit(func(int) {}))
			if err != nil {
				t.Fatal(err)
			}
			command, err := parser.Parse(args[1:])
			if err != nil {
				t.Errorf("%s: %v", line, err)
			} else if got := command.Selected().FullPath(); got != n.FullPath() {
				t.Errorf("%s: is of %s", line, got)
			}
		}
	}
	for path := range left {
		t.Errorf("there is no command %s", path)
	}
}
