package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
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
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
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

// list reads a sequence. An absent value is an empty one.
func (r *reader) list(n *yaml.Node, what string) []*yaml.Node {
	n = target(n)
	switch {
	case absent(n):
		return nil
	case n.Kind != yaml.SequenceNode:
		r.fail(n, "%s is %s; want a list, like [a, b]", what, kindOf(n))
		return nil
	case r.enough(n, len(n.Content)):
		return nil
	}
	items := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		items[i] = target(item)
	}
	return items
}

// texts reads a list of texts. The result is nil only for an absent value.
func (r *reader) texts(n *yaml.Node, what string) []string {
	if absent(target(n)) {
		return nil
	}
	texts := []string{}
	for _, item := range r.list(n, what) {
		if s, ok := r.text(item, "an item of "+what); ok {
			texts = append(texts, s)
		}
	}
	return texts
}

// text reads a scalar and fills in environment variables. An absent value is "".
func (r *reader) text(n *yaml.Node, what string) (string, bool) {
	n = target(n)
	if absent(n) {
		return "", true
	}
	if n.Kind != yaml.ScalarNode {
		r.fail(n, "%s is %s; want a text", what, kindOf(n))
		return "", false
	}
	s, err := expand(n.Value, r.env)
	if err != nil {
		r.fail(n, "%s: %v", what, err)
		return "", false
	}
	return s, true
}

func (r *reader) textTo(to *string, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.text(n, what); ok {
			*to = s
		}
	}
}

func (r *reader) boolTo(to *bool, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := r.text(n, what)
		if !ok || absent(target(n)) {
			return
		}
		switch strings.ToLower(s) {
		case "true", "yes", "on":
			*to = true
		case "false", "no", "off":
			*to = false
		default:
			r.fail(target(n), "%s is %s; want true or false", what, quote(target(n).Value))
		}
	}
}

// durationTo reads a duration of at least the given one.
func (r *reader) durationTo(to *time.Duration, what string, least time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := r.text(n, what)
		if !ok || absent(target(n)) {
			return
		}
		d, err := parseDuration(s)
		switch {
		case err != nil:
			r.fail(target(n), "%s: %s is not a duration; write it like 30s, 5m or 4h", what, quote(target(n).Value))
		case d < least && d <= 0:
			r.fail(target(n), "%s must be longer than 0; write it like 30s, 5m or 4h", what)
		case d < least:
			r.fail(target(n), "%s must be at least %s", what, model.Duration(least))
		default:
			*to = d
		}
	}
}

// parseDuration reads Prometheus's form (30s, 1h30m, 400d), else Go's (1.5s).
func parseDuration(s string) (time.Duration, error) {
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return time.ParseDuration(s)
}

func (r *reader) intTo(to *int, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, ok := r.text(n, what)
		if !ok || absent(target(n)) {
			return
		}
		i, err := strconv.Atoi(s)
		if err != nil || i < 0 || i > math.MaxInt32 {
			r.fail(target(n), "%s: %s is not a number from 0 to %d", what, quote(target(n).Value), math.MaxInt32)
			return
		}
		*to = i
	}
}

// bytesTo reads a number of bytes, with an optional unit.
func (r *reader) bytesTo(to *int64, what string) func(*yaml.Node) {
	units := []struct {
		suffix string
		shift  uint
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"B", 0}, {"", 0}}
	return func(n *yaml.Node) {
		s, ok := r.text(n, what)
		if !ok || absent(target(n)) {
			return
		}
		for _, u := range units {
			if digits, ok := strings.CutSuffix(s, u.suffix); ok {
				i, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
				if err != nil || i < 0 || i > math.MaxInt64>>u.shift {
					break
				}
				*to = i << u.shift
				return
			}
		}
		r.fail(target(n), "%s: %s is not a size; write it like 512MiB or 10GiB", what, quote(target(n).Value))
	}
}

// oneOf refuses a mapping that has more than one of the keys.
func (r *reader) oneOf(n *yaml.Node, what string, keys ...string) {
	n = target(n)
	if n.Kind != yaml.MappingNode {
		return
	}
	var found []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; slices.Contains(keys, key.Value) && !absent(target(n.Content[i+1])) {
			if found = append(found, key.Value); len(found) == 2 {
				r.fail(key, "%s has both %s and %s; keep one", what, found[0], found[1])
			}
		}
	}
}

// secretTo reads a value that no message may quote.
func (r *reader) secretTo(to *Secret, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.text(n, what); ok {
			*to = Secret(s)
		}
	}
}

// secretFileTo reads the name of a file and from it the secret, without white space around it.
func (r *reader) secretFileTo(to *Secret, what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		name, ok := r.text(n, what)
		if !ok || name == "" {
			return
		}
		data, err := r.readFile(name)
		secret := strings.TrimSpace(string(data))
		switch {
		case err != nil:
			r.fail(target(n), "%s: cannot read %s: %v", what, quote(target(n).Value), rootCause(err))
		case secret == "":
			r.fail(target(n), "%s: the file %s is empty", what, quote(target(n).Value))
		case len(secret) > maxValue:
			r.fail(target(n), "%s: the file %s is larger than %d KiB", what, quote(target(n).Value), maxValue>>10)
		default:
			*to = Secret(secret)
		}
	}
}

// cause is what err says about the value n, unless n has environment variables in it: an error from elsewhere may
// quote what they stand for.
func cause(n *yaml.Node, err error) string {
	if usesEnv(n) {
		return "it is not valid once the environment variables are filled in"
	}
	s := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	s, _, _ = strings.Cut(s, ": `^(?:") // what the matchers put around every regular expression
	return s
}

func usesEnv(n *yaml.Node) bool {
	n = target(n)
	if n.Kind == yaml.ScalarNode {
		return strings.Contains(n.Value, "${")
	}
	for _, child := range n.Content {
		if child = target(child); child.Kind == yaml.ScalarNode && usesEnv(child) {
			return true
		}
	}
	return false
}

// rootCause drops the path from an error about a file: it is said already.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// unused accepts a key that Alertmanager knows, and says that it has no effect.
func (r *reader) unused(key string) func(*yaml.Node) {
	return func(n *yaml.Node) { r.warn(n, "%s is not used by alertd yet", key) }
}

// httpURL says what is wrong with an http or https URL without quoting it, since it may be a secret.
func httpURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("want a URL that begins with http:// or https:// and names a host")
	}
	return nil
}

// expand replaces ${NAME} with the environment variable, and $${NAME} with ${NAME}.
func expand(s string, env func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for rest := s; ; {
		i := strings.Index(rest, "${")
		if i < 0 {
			b.WriteString(rest)
			break
		}
		name, after, ok := strings.Cut(rest[i+2:], "}")
		switch {
		case !ok || !isEnvName(name): // ${ of a regular expression or a template: not ours
			b.WriteString(rest[:i+2])
			rest = rest[i+2:]
			continue
		case i > 0 && rest[i-1] == '$':
			b.WriteString(rest[:i-1] + "${" + name + "}")
		default:
			value, ok := env(name)
			if !ok {
				return "", fmt.Errorf("the environment variable %s is not set; set it, or write $${%s} for the text itself", name, name)
			}
			b.WriteString(rest[:i] + value)
		}
		rest = after
	}
	if b.Len() > maxValue {
		return "", fmt.Errorf("the value is longer than %d KiB", maxValue>>10)
	}
	return b.String(), nil
}

func isEnvName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
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
