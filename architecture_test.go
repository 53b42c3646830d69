package alertd_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// level is how high a room stands in docs/architecture.md. Imports point down only. Putting a room here, or
// moving it, is a decision for a review.
var level = map[string]int{
	"alertd": 0,

	"alertd/rules": 1, "alertd/router": 1, "alertd/calendar": 1, "alertd/grouping": 1, "alertd/runbooks": 1,
	"alertd/tracectx": 1, "alertd/natsbus/natstest": 1,

	"alertd/engine": 2, "alertd/waterfall": 2,

	"alertd/natsbus": 3, "alertd/ingest": 3, "alertd/journal": 3, "alertd/history": 3, "alertd/notifier": 3,
	"alertd/healthpoll": 3, "alertd/tracestore": 3, "alertd/nodes": 3, "alertd/telemetry": 3, "alertd/templates": 3,

	// These stand on their neighbours of level 3, and nothing of level 3 stands on them.
	"alertd/config": 4, "alertd/api": 4, "alertd/amapi": 4, "alertd/web": 4, "alertd/demo": 4, "alertd/notifier/slack": 4, "alertd/notifier/webhook": 4,
	"alertd/notifier/console": 4, "alertd/notifier/slacktest": 4, "alertd/notifier/sendertest": 4,

	"alertd/app": 5, "alertd/rehearse": 5, "alertd/lint": 5,

	"alertd/cmd/alertd": 6, "alertd/e2e": 6,

	"alertd/bench": 7, // uses the harness of the end-to-end tests
}

// pure rooms decide: they know no clock, no I/O, no goroutine and no logger. (rules runs Prometheus's engine, which
// asks for a context.)
var pure = []string{
	"alertd", "alertd/rules", "alertd/router", "alertd/calendar", "alertd/grouping", "alertd/runbooks", "alertd/tracectx",
	"alertd/waterfall", "alertd/engine", "alertd/rehearse", "alertd/lint",
}

// forbidden are imports that a room must not have besides those of a higher level.
var forbidden = map[string][]string{
	"alertd/engine":   {"context", "encoding/gob", "math/rand", "math/rand/v2", "sync"},
	"alertd/notifier": {"alertd/engine", "alertd/journal", "alertd/history"},
	"alertd/api":      {"alertd/engine", "alertd/natsbus", "alertd/journal"},
	"alertd/amapi":    {"alertd/engine", "alertd/natsbus", "alertd/journal", "alertd/history", "alertd/rules"},
	"alertd/config":   {"alertd/notifier", "alertd/natsbus", "alertd/journal", "alertd/history"},
	"alertd/natsbus":  {"alertd/rules", "alertd/grouping"},
	"alertd/ingest":   {"alertd/router", "alertd/rules"},
	"alertd/journal":  {"alertd/router", "alertd/grouping", "alertd/rules"},
}

var impure = []string{"log/slog", "net", "net/http", "os", "os/exec", "database/sql", "os/signal", "log"}

type imports map[string][]string // package → what its files import, tests left out

func TestImportsPointDown(t *testing.T) {
	all := read(t)
	for _, pkg := range slices.Sorted(maps.Keys(all)) {
		at, known := level[pkg]
		if !known {
			t.Errorf("%s: has no level; put it into docs/architecture.md and into this test", pkg)
			continue
		}
		for _, imp := range all[pkg] {
			if to, ours := level[imp]; ours && to >= at {
				t.Errorf("%s (level %d) imports %s (level %d): imports point down only", pkg, at, imp, to)
			}
			if slices.Contains(forbidden[pkg], imp) {
				t.Errorf("%s must not know %s", pkg, imp)
			}
		}
	}
	for pkg := range level {
		if all[pkg] == nil {
			t.Errorf("%s has a level and is not there", pkg)
		}
	}
}

// TestTableOfRooms holds the table of docs/architecture.md against the levels. Helpers of tests are not in it.
func TestTableOfRooms(t *testing.T) {
	doc, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "| level | package |")
	table, _, _ = strings.Cut(table, "\n\n")
	rooms := map[string]int{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || !strings.ContainsAny(cells[1], "0123456789") {
			continue
		}
		at, err := strconv.Atoi(strings.TrimSpace(cells[1]))
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range strings.Split(cells[2], "`") {
			if i%2 == 1 {
				rooms[strings.Replace("alertd/"+name, "alertd/alertd", "alertd", 1)] = at
			}
		}
	}
	for room, at := range level {
		if got, there := rooms[room]; (!there || got != at) && !strings.HasSuffix(room, "test") {
			t.Errorf("%s has level %d, and in the table %d (%v)", room, at, got, there)
		}
	}
	for room := range rooms {
		if _, there := level[room]; !there {
			t.Errorf("the table has %s, which has no level", room)
		}
	}
}

func TestPureRoomsStayPure(t *testing.T) {
	all := read(t)
	for _, pkg := range pure {
		for _, imp := range all[pkg] {
			if slices.Contains(impure, imp) && (pkg != "alertd" || imp != "log/slog") { // values know how to log themselves
				t.Errorf("%s decides, so it must not know %s", pkg, imp)
			}
		}
		dir := filepath.Join(".", strings.TrimPrefix(strings.TrimPrefix(pkg, "alertd"), "/"))
		for _, file := range sources(t, dir) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(src), "\n") {
				code, _, _ := strings.Cut(line, "//")
				for _, word := range []string{"time.Now(", "time.Since(", "time.Until(", "time.Sleep(", "time.After(", "time.NewTimer("} {
					if strings.Contains(code, word) {
						t.Errorf("%s:%d: %s…): now is an argument here", file, i+1, word)
					}
				}
				if strings.HasPrefix(strings.TrimSpace(code), "go ") {
					t.Errorf("%s:%d: goroutines belong to app and to the workers that it owns", file, i+1)
				}
			}
		}
	}
}

// Every package says in a doc comment what it is for.
func TestEveryPackageIsDocumented(t *testing.T) {
	for pkg := range read(t) {
		dir := filepath.Join(".", strings.TrimPrefix(strings.TrimPrefix(pkg, "alertd"), "/"))
		documented := false
		for _, file := range sources(t, dir) {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || f.Doc != nil
		}
		if !documented {
			t.Errorf("%s has no package comment", pkg)
		}
	}
}

func read(t *testing.T) imports {
	t.Helper()
	all := imports{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "tools" || name == "conformance") { // the last two are modules of their own
			return filepath.SkipDir
		}
		files := sources(t, path)
		if len(files) == 0 && !(path == "e2e") {
			return nil
		}
		pkg := strings.TrimSuffix("alertd/"+filepath.ToSlash(path), "/.")
		all[pkg] = []string{}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, spec := range f.Imports {
				imp, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				all[pkg] = append(all[pkg], imp)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func sources(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}
