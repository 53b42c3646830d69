package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a file.
const (
	maxFile   = 4 << 20  // bytes
	maxNodes  = 100_000  // values, each alias counted again
	maxValue  = 64 << 10 // bytes of one value, or of one secret file
	maxDepth  = 64       // of nested routes
	nullValue = "!!null"
)

// reader reads one YAML file by its nodes, so that every mistake has a position, and collects all of them. Its
// methods return zero values after a mistake, and reading goes on.
type reader struct {
	name     string
	env      func(string) (string, bool)
	readFile func(string) ([]byte, error)

	problems []*Error
	warnings []Warning
	nodes    int
}

// parse returns the document's top-level value, or nil for a mistake that leaves nothing to read. An empty file is
// an empty mapping.
func (r *reader) parse(data []byte) *yaml.Node {
	empty := &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
	if len(data) > maxFile {
		r.fail(empty, "the file is larger than %d MiB", maxFile>>20)
		return nil
	}
	var doc, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return empty
	case err != nil:
		r.problems = append(r.problems, syntaxError(r.name, data, err))
		return nil
	}
	if err := dec.Decode(&second); err == nil {
		r.fail(&second, "a second document begins here; one file holds one")
	} else if !errors.Is(err, io.EOF) {
		r.problems = append(r.problems, syntaxError(r.name, data, err))
		return nil
	}
	if len(doc.Content) == 0 {
		return empty
	}
	return doc.Content[0]
}

// syntaxError adds the position that the YAML library knows only in part.
func syntaxError(name string, data []byte, err error) *Error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	at := Pos{name, 1, 1}
	if alias, ok := strings.CutPrefix(msg, "unknown anchor '"); ok {
		// The name may be what somebody meant as a secret value that begins with an asterisk: do not show it.
		alias, _, _ = strings.Cut(alias, "' referenced")
		if i := bytes.Index(data, []byte("*"+alias)); i >= 0 {
			at.Line = 1 + bytes.Count(data[:i], []byte("\n"))
			at.Column = i - bytes.LastIndexByte(data[:i], '\n')
		}
		return &Error{at, "an alias refers to an anchor that does not exist; put quotes around a value that begins with *"}
	}
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if digits, text, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(digits); err == nil {
				at.Line, msg = line, text
			}
		}
	}
	lines := bytes.Split(data, []byte("\n"))
	if at.Line <= len(lines) {
		line := lines[at.Line-1]
		if i := bytes.IndexFunc(line, func(c rune) bool { return c != ' ' }); i >= 0 {
			at.Column = i + 1
		}
	}
	return &Error{at, "this is not YAML: " + msg}
}

func (r *reader) pos(n *yaml.Node) Pos { return Pos{r.name, max(n.Line, 1), max(n.Column, 1)} }

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, &Error{r.pos(n), fmt.Sprintf(format, args...)})
}

func (r *reader) warn(n *yaml.Node, format string, args ...any) {
	r.warnings = append(r.warnings, Warning{r.pos(n), fmt.Sprintf(format, args...)})
}

// done returns the warnings in the order of the file, or the error that all mistakes make.
func (r *reader) done() ([]Warning, error) {
	slices.SortStableFunc(r.warnings, func(a, b Warning) int { return a.compare(b.Pos) })
	return r.warnings, join(r.problems)
}

// enough counts values and stops a file whose aliases multiply.
func (r *reader) enough(n *yaml.Node, more int) bool {
	if r.nodes > maxNodes {
		return true
	}
	if r.nodes += more; r.nodes > maxNodes {
		r.fail(n, "the file has more than %d values, counting each use of an alias", maxNodes)
		return true
	}
	return false
}

// fields says, for each known key of a mapping, what to do with its value.
type fields map[string]func(*yaml.Node)

// object reads a mapping. An absent value is an empty mapping. what names it for people: "route". It reports whether
// all was well: where not, that something seems to be missing may only be a consequence.
func (r *reader) object(n *yaml.Node, what string, known fields) (ok bool) {
	before := len(r.problems)
	for _, e := range r.entries(n, what) {
		read, ok := known[e.key.Value]
		if !ok {
			r.unknown(e.key, what, known)
			continue
		}
		read(e.value)
	}
	return len(r.problems) == before
}

func (r *reader) unknown(key *yaml.Node, what string, known fields) {
	names := slices.Sorted(maps.Keys(known))
	hint := didYouMean(key.Value, names)
	if hint == "" {
		hint = "; it knows " + strings.Join(names, ", ")
		if len(names) == 0 {
			hint = "; it has no keys"
		}
	}
	r.fail(key, "unknown key %s in %s%s", quote(key.Value), what, hint)
}

type entry struct{ key, value *yaml.Node }

// entries returns the keys and values of a mapping in the order of the file, merge keys (<<) filled in, and
// refuses keys that come twice.
func (r *reader) entries(n *yaml.Node, what string) []entry {
	n = target(n)
	if absent(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s is %s; want keys and values", what, kindOf(n))
		return nil
	}
	if r.enough(n, len(n.Content)) {
		return nil
	}
	var own, merged []entry
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = target(key)
		}
		switch line, again := seen[key.Value]; {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			merged = append(merged, r.merged(value, what)...)
		case key.Kind != yaml.ScalarNode:
			r.fail(key, "a key in %s is %s; want a name", what, kindOf(key))
		case again:
			r.fail(key, "key %s comes twice in %s; it is on line %d already", quote(key.Value), what, line)
		default:
			seen[key.Value] = key.Line
			own = append(own, entry{key, value})
		}
	}
	for _, e := range merged {
		if _, ok := seen[e.key.Value]; !ok {
			seen[e.key.Value] = e.key.Line
			own = append(own, e)
		}
	}
	return own
}

// merged returns what a merge key brings in: a mapping, or a list of mappings of which earlier ones win.
func (r *reader) merged(n *yaml.Node, what string) []entry {
	n = target(n)
	if n.Kind != yaml.SequenceNode {
		return r.flat(n, what)
	}
	var all []entry
	for _, item := range r.list(n, "<<") {
		all = append(all, r.flat(item, what)...)
	}
	return all
}

// flat are the entries of a merged mapping, which may not merge any further: that could go in circles.
func (r *reader) flat(n *yaml.Node, what string) []entry {
	n = target(n)
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].ShortTag() == "!!merge" {
				r.fail(n.Content[i], "a merged mapping merges another one; write it out")
				return nil
			}
		}
	}
	return r.entries(n, what)
}

// target follows an alias to what it stands for.
func target(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

// absent reports whether a key has no value.
func absent(n *yaml.Node) bool {
	return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == nullValue
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping of keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return "a single value"
	default:
		return "nothing that can be read"
	}
}

// quote shows what the file says, cut to what fits a message.
func quote(s string) string {
	const limit = 80
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return strconv.Quote(s)
}
