package runbooks

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"alertd"
)

//go:embed *.md
var shipped embed.FS

// Shipped is the folder of runbooks for the shipped rules. It is read-only and safe to share between goroutines.
func Shipped() fs.FS { return shipped }

// Bounds of what Load reads. A runbook that is longer than this is not read at 3 a.m. anyway.
const (
	maxBytes = 256 << 10
	maxFiles = 10_000
)

// Runbook is what a person needs to know about one alert.
type Runbook struct {
	Alert     string          // the alertname that it is for
	Title     string          // for people; the alertname if the file gives none
	Severity  alertd.Severity // of the alert, for the reader; the rule's label decides
	Owner     string          // whom to ask; may be empty
	NextSteps []string        // what to do first, in order; at least one
	Body      string          // Markdown, without the front matter
	File      string          // where it was read from
	Own       bool            // it is not one of those that alertd ships

	Dashboards []Dashboard // where to look; may be empty
}

// Index finds runbooks by alert name. It does not change after [Load] and is safe to share between goroutines.
type Index struct {
	byAlert map[string]Runbook
}

// Folder is where people put their own runbooks, in the folder of their rules.
const Folder = "runbooks"

// Beside reads the shipped runbooks and, over them, those in [Folder] of the folder of the rules, if there is one. Errors
// are those of [Load].
func Beside(rules fs.FS) (*Index, error) {
	ix, err := Load(shipped)
	if err != nil {
		return nil, err
	}
	if info, err := fs.Stat(rules, Folder); err != nil || !info.IsDir() {
		return ix, nil
	}
	own, err := load(rules, Folder)
	if err != nil {
		return nil, err
	}
	for alert, rb := range own.byAlert {
		rb.Own = true
		ix.byAlert[alert] = rb
	}
	return ix, nil
}

// Load reads every .md file in fsys and its folders, except README.md. All mistakes are reported at once, each as
// file:line:column; the index is nil then.
func Load(fsys fs.FS) (*Index, error) { return load(fsys, ".") }

func load(fsys fs.FS, root string) (*Index, error) {
	files, err := list(fsys, root)
	if err != nil {
		return nil, fmt.Errorf("runbooks: %w", err)
	}
	ix := &Index{byAlert: make(map[string]Runbook, len(files))}
	var problems []error
	for _, name := range files {
		src, err := read(fsys, name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		rb, err := Parse(name, src)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if other, taken := ix.byAlert[rb.Alert]; taken {
			problems = append(problems, fmt.Errorf("%s:1:1: %s is already the runbook for alert %q: keep one of the two",
				name, other.File, rb.Alert))
			continue
		}
		ix.byAlert[rb.Alert] = rb
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return ix, nil
}

// list names the runbook files, sorted.
func list(fsys fs.FS, root string) ([]string, error) {
	var files []string
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() || path.Ext(name) != ".md" || path.Base(name) == "README.md":
			return nil
		case len(files) == maxFiles:
			return fmt.Errorf("more than %d files: point alertd at the folder that holds only runbooks", maxFiles)
		}
		files = append(files, name)
		return nil
	})
	return files, err
}

// read returns a file's bytes, at most maxBytes of them.
func read(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("runbooks: %w", err)
	}
	defer f.Close() // read only: nothing is lost if closing fails
	src, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(src) > maxBytes {
		return nil, fmt.Errorf("%s:1:1: longer than %d KiB: link to the details instead", name, maxBytes>>10)
	}
	return src, nil
}

// Find returns the runbook for an alert name.
func (ix *Index) Find(alertname string) (Runbook, bool) {
	rb, ok := ix.byAlert[alertname]
	return rb, ok
}

// All returns the runbooks, sorted by alert name.
func (ix *Index) All() []Runbook {
	all := make([]Runbook, 0, len(ix.byAlert))
	for _, alert := range slices.Sorted(maps.Keys(ix.byAlert)) {
		all = append(all, ix.byAlert[alert])
	}
	return all
}

// URL is where alertd serves the runbook of an alert, given alertd's own external URL. It is "" if there is no such
// runbook or no external URL: a link that leads nowhere is worse than none.
func (ix *Index) URL(external, alertname string) string {
	if _, ok := ix.byAlert[alertname]; !ok || external == "" {
		return ""
	}
	return strings.TrimRight(external, "/") + "/runbooks/" + url.PathEscape(alertname)
}

// Dangling returns those of the given alert names that have no runbook, sorted, each once.
func (ix *Index) Dangling(alertnames []string) []string {
	var missing []string
	for _, name := range alertnames {
		if _, ok := ix.byAlert[name]; !ok {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// Unused returns people's own runbooks whose alert is none of the given names, by alert. Those that alertd ships may
// stay when their rules are not used.
func (ix *Index) Unused(alertnames []string) (unused []Runbook) {
	for _, rb := range ix.All() {
		if rb.Own && !slices.Contains(alertnames, rb.Alert) {
			unused = append(unused, rb)
		}
	}
	return unused
}
