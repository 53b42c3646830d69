package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"alertd/rules"
)

// Policy is everything that a folder of rules says.
type Policy struct {
	Version  string // of the files' names and contents: 12 hexadecimal digits
	Rules    *rules.Set
	Routing  *Routing
	Health   Health
	Warnings []Warning

	// Masked is the routing as one text without secrets that Alertmanager's own tools can read: what only alertd knows is
	// in comments.
	Masked string
}

// What to do where the folder has no routing.yaml: page on the daemon's own output, at once for what is critical
// or unknown, in the working hours of a place in UTC for warnings, never for information.
const builtinRouting = `
calendars:
  default: {time_zone: UTC, hours: ['mon-fri 09:00-18:00']}
route:
  receiver: console
  group_by: [alertname, service]
  routes:
    - {matchers: ['severity=~"critical|page|emergency|fatal"'], group_wait: 0s, group_interval: 30s}
    - {matchers: ['severity=~"warning|warn"'], deliver: business_hours}
    - {matchers: ['severity=~"info|information|notice"'], deliver: dashboard}
receivers:
  - {name: console, console_configs: [{}]}
`

// Load reads all files at the top of fsys whose names end in .yaml, .yml or .rules: routing.yaml is the routing (a
// built-in one stands in for it), TEAM.routing.yaml what a team adds to it, health.yaml the health targets and components, and every
// other one a Prometheus rule file. What teams add comes after what routing.yaml has, in the order of the files' names.
// Folders and names that begin with a dot are left alone. env and readFile are as for [ParseRouting]. The error
// joins every mistake in every file, and with any there is no policy.
func Load(fsys fs.FS, env func(string) (string, bool), readFile func(string) ([]byte, error)) (*Policy, error) {
	main, folder := rules.File{Name: "(built-in routing)", Data: []byte(builtinRouting)}, fsys
	elsewhere, ok := fsys.(withRouting)
	if w := elsewhere; ok {
		data, err := readFile(w.file)
		if err != nil {
			return nil, fmt.Errorf("the routing file: %w", err)
		}
		main, folder = rules.File{Name: w.file, Data: data}, w.FS
	}
	files, err := readFolder(folder)
	if err != nil {
		return nil, err
	}
	var (
		p         = &Policy{}
		problems  []error
		ruleFiles []rules.File
	)
	routing := []rules.File{main}
	for _, f := range files {
		switch stem := strings.TrimSuffix(f.Name, path.Ext(f.Name)); {
		case stem == "routing":
			if elsewhere.file != "" {
				problems = append(problems, fmt.Errorf("%s: the routing file is %s already; keep one of the two", f.Name, main.Name))
				continue
			}
			routing[0] = f
		case strings.HasSuffix(stem, ".routing"):
			routing = append(routing, f)
		case stem == "health":
			p.Health, err = parseHealth(f.Name, f.Data, env)
			problems = append(problems, err)
		default:
			ruleFiles = append(ruleFiles, f)
		}
	}
	var beside siblings = inFolder{fsys, readFile}
	if elsewhere.file != "" {
		beside = onDisk{filepath.Dir(main.Name), readFile}
	}
	p.Routing, p.Warnings, err = parseRouting(routing, env, readFile, beside)
	problems = append(problems, err)
	p.Rules, err = rules.Parse(ruleFiles)
	problems = append(problems, err)
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	p.Version = version(slices.Concat(files, routing[:1], p.Routing.read))
	p.Masked = maskedRouting(routing, env)
	return p, nil
}

// WithRouting is the folder fsys, with a routing file from elsewhere, for [Load] alone. Without a folder (nil) there
// are no rules: then only what others post is routed, as an Alertmanager does.
func WithRouting(fsys fs.FS, file string) fs.FS {
	if fsys == nil {
		fsys = noFiles{}
	}
	return withRouting{fsys, file}
}

type withRouting struct {
	fs.FS
	file string
}

// noFiles is an empty folder.
type noFiles struct{}

// Open finds nothing.
func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadDir lists nothing.
func (noFiles) ReadDir(string) ([]fs.DirEntry, error) { return nil, nil }

// readFolder returns the files in the order of their names.
func readFolder(fsys fs.FS) ([]rules.File, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("the folder of rules: %w", err)
	}
	var files []rules.File
	var problems []error
	special := make(map[string]string)
	for _, e := range entries {
		name := e.Name()
		ext := path.Ext(name)
		if strings.HasPrefix(name, ".") || !slices.Contains([]string{".yaml", ".yml", ".rules"}, ext) {
			continue
		}
		info, err := fs.Stat(fsys, name) // follows links, which is how mounted configuration arrives
		switch {
		case err != nil:
			problems = append(problems, err)
			continue
		case info.IsDir():
			continue
		case info.Size() > maxFile:
			problems = append(problems, fmt.Errorf("%s: the file is larger than %d MiB", name, maxFile>>20))
			continue
		}
		if base := strings.TrimSuffix(name, ext); base == "routing" || base == "health" {
			if other, ok := special[base]; ok {
				problems = append(problems, fmt.Errorf("%s: there is %s already; keep one of the two", name, other))
				continue
			}
			special[base] = name
		}
		data, err := fs.ReadFile(fsys, name)
		problems = append(problems, err)
		files = append(files, rules.File{Name: name, Data: data})
	}
	slices.SortFunc(files, func(a, b rules.File) int { return cmp.Compare(a.Name, b.Name) })
	return files, errors.Join(problems...)
}

// version tells files apart that differ in a name or a byte.
func version(files []rules.File) string {
	h := sha256.New()
	for _, f := range files {
		for _, part := range [][]byte{[]byte(f.Name), f.Data} {
			_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash never fails
			h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
