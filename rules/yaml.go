package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"alertd"
)

// problem is one mistake in a rule file. Its text ends with what to type next.
type problem struct {
	file         string
	line, column int
	what, fix    string
}

func (p *problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s", p.file, p.line, p.column, p.what, p.fix)
}

// reader walks the nodes of one file and collects every problem. It reads nodes instead of decoding into structs
// because only nodes have positions, and because a decoder stops at the first mistake of its kind.
type reader struct {
	file     string
	lines    []string
	problems []*problem
}

// maxMerge bounds how deep merge keys may nest, since an alias may contain itself.
const maxMerge = 8

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?((?s:.*))$`)

// document parses the source down to the root node; nil where there is none.
func (r *reader) document(src []byte) *yaml.Node {
	if !utf8.Valid(src) {
		r.failAt(1, 1, "file is not UTF-8 text", "save it as UTF-8")
		return nil
	}
	dec := yaml.NewDecoder(strings.NewReader(string(src)))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if err.Error() != "EOF" {
			r.failSyntax(err)
		}
		return nil
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case err == nil:
		r.fail(&second, "a second document in one file", "merge its groups into the first, or move it to a file of its own")
	case err.Error() != "EOF":
		r.failSyntax(err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// failSyntax reports what the YAML parser says. Its own line is often that where the surrounding list began, and
// there is no column; the first line with which the file begins to fail in the same way is nearer to the mistake.
func (r *reader) failSyntax(err error) {
	const few = 2000 // lines, since each is parsed again with all before it
	m := yamlLine.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1])
	line = min(max(line, 1), len(r.lines))
	for n := 1; n <= min(len(r.lines), few); n++ {
		var doc yaml.Node
		dec := yaml.NewDecoder(strings.NewReader(strings.Join(r.lines[:n], "\n") + "\n"))
		part := dec.Decode(&doc)
		if part == nil {
			part = dec.Decode(&doc)
		}
		if part != nil && yamlLine.FindStringSubmatch(part.Error())[2] == m[2] {
			line = n
			break
		}
	}
	text := r.lines[line-1]
	r.failAt(line, 1+len(text)-len(strings.TrimLeft(text, " \t")), "not YAML: "+m[2], "check indentation, quotes and colons there and just above")
}

func (r *reader) fail(n *yaml.Node, what, fix string) { r.failAt(n.Line, n.Column, what, fix) }

func (r *reader) failAt(line, column int, what, fix string) {
	r.problems = append(r.problems, &problem{r.file, line, column, what, fix})
}

// field is a key of a mapping and its value.
type field struct{ key, value *yaml.Node }

// deref follows an alias to what it stands for.
func deref(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == 0 || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// pairs yields the fields of a mapping in order, those of merge keys last.
func (r *reader) pairs(n *yaml.Node, what string, depth int) []field {
	n = deref(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, what+" is not a mapping", "write `name: value` lines")
		return nil
	}
	var own, merged []field
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), deref(n.Content[i+1])
		switch {
		case key.Tag == "!!merge" && depth >= maxMerge:
			r.fail(key, "merge keys nest too deep", "write the fields out")
		case key.Tag == "!!merge" && value.Kind == yaml.SequenceNode:
			for _, part := range value.Content {
				merged = append(merged, r.pairs(part, "what << merges", depth+1)...)
			}
		case key.Tag == "!!merge":
			merged = append(merged, r.pairs(value, "what << merges", depth+1)...)
		case key.Kind != yaml.ScalarNode:
			r.fail(key, "a key of "+what+" is not text", "write `name: value` lines")
		case slices.ContainsFunc(own, func(f field) bool { return f.key.Value == key.Value }):
			r.fail(key, fmt.Sprintf("%q is there twice in %s", key.Value, what), "remove one of them")
		default:
			own = append(own, field{key, value})
		}
	}
	for _, f := range merged {
		if !slices.ContainsFunc(own, func(o field) bool { return o.key.Value == f.key.Value }) {
			own = append(own, f)
		}
	}
	return own
}

// fields is a mapping that may have only known keys.
func (r *reader) fields(n *yaml.Node, what string, known ...string) map[string]field {
	out := make(map[string]field)
	for _, f := range r.pairs(n, what, 0) {
		if !slices.Contains(known, f.key.Value) {
			r.fail(f.key, fmt.Sprintf("unknown field %q in %s", f.key.Value, what), instead(f.key.Value, known))
			continue
		}
		out[f.key.Value] = f
	}
	return out
}

// instead is what to write in place of an unknown word.
func instead(word string, known []string) string {
	if near := alertd.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "one of " + strings.Join(known, ", ") + " can stand here"
}

// items is a sequence.
func (r *reader) items(f field, what string) []*yaml.Node {
	if isNull(f.value) {
		return nil
	}
	if f.value.Kind != yaml.SequenceNode {
		r.fail(f.value, what+" is not a list", "write each on a line that begins with a dash")
		return nil
	}
	out := make([]*yaml.Node, len(f.value.Content))
	for i, n := range f.value.Content {
		out[i] = deref(n)
	}
	return out
}

// text is a scalar; numbers and booleans count as the text they are written as, as in Prometheus.
func (r *reader) text(f field) string {
	switch {
	case isNull(f.value):
		return ""
	case f.value.Kind != yaml.ScalarNode:
		r.fail(f.value, fmt.Sprintf("%q is not text", f.key.Value), "write one value, in quotes if it holds colons or brackets")
		return ""
	}
	return f.value.Value
}

// duration reads what Prometheus calls a duration.
func (r *reader) duration(f field) time.Duration {
	s := r.text(f)
	if s == "" {
		return 0
	}
	d, err := model.ParseDuration(s)
	if err != nil {
		r.fail(f.value, fmt.Sprintf("%q is not a duration: %q", f.key.Value, s), "write it like 30s, 5m or 1h30m")
		return 0
	}
	return time.Duration(d)
}

// count reads a whole number that is not negative.
func (r *reader) count(f field) int {
	s := r.text(f)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		r.fail(f.value, fmt.Sprintf("%q is not a whole number of 0 or more: %q", f.key.Value, s), "write it like 100")
		return 0
	}
	return n
}

// pair is a label or an annotation as the file has it, not yet expanded.
type pair struct {
	name, value string
	node        *yaml.Node
	copies      string // of a rule's label: the label that its template copies and nothing else; else empty
}

// texts reads a mapping of texts, sorted by name.
func (r *reader) texts(f field, what string) []pair {
	var out []pair
	for _, kv := range r.pairs(f.value, what, 0) {
		out = append(out, pair{name: kv.key.Value, value: r.text(kv), node: kv.value})
		if !model.UTF8Validation.IsValidLabelName(kv.key.Value) {
			r.fail(kv.key, fmt.Sprintf("%q is no name for one of %s", kv.key.Value, what), "use letters, digits and underscores")
		}
	}
	slices.SortFunc(out, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return out
}

// locate finds where in the file byte off of a scalar's value stands. Folded text has lost its line breaks, so it
// is found by counting; escapes in quotes are counted as what they stand for, and may put the column off by a few.
func (r *reader) locate(n *yaml.Node, off int) (line, column int) {
	off = min(max(off, 0), len(n.Value))
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		column = n.Column
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			column++
		}
		for line = n.Line; line <= len(r.lines); line++ {
			text := r.lines[line-1]
			rest := ""
			if runes := []rune(text); column-1 < len(runes) {
				rest = strings.TrimRight(string(runes[column-1:]), " \r")
			}
			if off <= len(rest) || line == len(r.lines) {
				return line, column + utf8.RuneCountInString(rest[:min(off, len(rest))])
			}
			off -= len(rest) + 1
			if line < len(r.lines) {
				next := r.lines[line]
				column = 1 + len(next) - len(strings.TrimLeft(next, " \t"))
			}
		}
		return n.Line, n.Column
	}
	indent := -1
	for line = n.Line + 1; line <= len(r.lines); line++ {
		text := strings.TrimRight(r.lines[line-1], "\r")
		if indent < 0 && strings.TrimSpace(text) != "" {
			indent = len(text) - len(strings.TrimLeft(text, " "))
		}
		cut := text[min(max(indent, 0), len(text)):]
		if off <= len(cut) {
			return line, 1 + max(indent, 0) + utf8.RuneCountInString(cut[:off])
		}
		off -= len(cut) + 1
	}
	return n.Line, n.Column
}
