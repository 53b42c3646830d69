package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"alertd"
)

// What alertd knows and Prometheus does not stands either as a field like any other, or, in files that promtool has
// to accept as well, as a comment above what it is about:
//
//	# alertd: no_data: keep
//	- alert: DiskUsageHigh
//
// One setting a line; above a rule, above a group's name, or above `groups`. It is checked like a field.

// directive is such a comment.
type directive struct {
	line   int
	column int // of the key
	key    string
	value  string
	at     int // column of the value
	about  int // line that it stands above
}

var directiveLine = regexp.MustCompile(`^(\s*#\s*alertd:\s*)(.*?)\s*$`)

// findDirectives reads the comments of a file. Text in blocks is no comment.
func (p *fileParser) findDirectives(root *yaml.Node) {
	inBlock := make(map[int]bool)
	p.blocks(root, inBlock, 0)
	for i, text := range p.lines {
		line := i + 1
		m := directiveLine.FindStringSubmatch(strings.TrimRight(text, "\r"))
		if m == nil || inBlock[line] {
			continue
		}
		d := directive{line: line, column: len(m[1]) + 1}
		key, value, ok := strings.Cut(m[2], ":")
		if !ok {
			p.failAt(line, d.column, fmt.Sprintf("%q is no setting", m[2]), "write `# alertd: name: value`, as in `# alertd: no_data: keep`")
			continue
		}
		d.key, d.value = strings.TrimSpace(key), strings.TrimSpace(value)
		d.at = d.column + len(m[2]) - len(strings.TrimLeft(value, " \t"))
		for d.about = line + 1; d.about <= len(p.lines); d.about++ {
			next := strings.TrimSpace(p.lines[d.about-1])
			if next != "" && next != "-" && !strings.HasPrefix(next, "#") {
				break
			}
		}
		p.directives = append(p.directives, d)
	}
}

// blocks notes the lines of literal and folded text.
func (p *fileParser) blocks(n *yaml.Node, in map[int]bool, depth int) {
	if n == nil || depth > 100 {
		return
	}
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		indent := -1
		for line := n.Line + 1; line <= len(p.lines); line++ {
			text := strings.TrimRight(p.lines[line-1], " \r")
			if text == "" {
				continue
			}
			deep := len(text) - len(strings.TrimLeft(text, " "))
			if indent < 0 {
				indent = deep
			}
			if deep < indent || indent == 0 {
				break
			}
			in[line] = true
		}
	}
	for _, c := range n.Content {
		p.blocks(c, in, depth+1)
	}
}

// settings are the fields of a mapping, those of the comments above it included.
func (p *fileParser) settings(n *yaml.Node, what string, f map[string]field, known ...string) map[string]field {
	rest := p.directives[:0:0]
	for _, d := range p.directives {
		if n == nil || d.about != n.Line {
			rest = append(rest, d)
			continue
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: d.key, Line: d.line, Column: d.column}
		value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: d.value, Line: d.line, Column: d.at}
		if strings.HasPrefix(d.value, "{") && d.key == "lookbacks" {
			var doc yaml.Node
			if err := yaml.Unmarshal([]byte(d.value), &doc); err != nil || len(doc.Content) == 0 {
				p.fail(value, fmt.Sprintf("%q is no mapping", d.key), "write it like {health_: 15m}")
				continue
			}
			value = doc.Content[0]
			shift(value, d.line-1, d.at-1)
		}
		switch _, there := f[d.key]; {
		case there:
			p.fail(key, fmt.Sprintf("%q is there twice for %s", d.key, what), "remove one of them")
		case !slices.Contains(known, d.key):
			p.fail(key, fmt.Sprintf("unknown setting %q above %s", d.key, what), instead(d.key, known))
		default:
			f[d.key] = field{key, value}
		}
	}
	p.directives = rest
	return f
}

// shift moves the positions of a node that was parsed by itself to where it stands in the file.
func shift(n *yaml.Node, lines, columns int) {
	n.Line, n.Column = n.Line+lines, n.Column+columns
	for _, c := range n.Content {
		shift(c, lines, columns)
	}
}

// strays complains about settings that nothing has claimed.
func (p *fileParser) strays() {
	for _, d := range p.directives {
		p.failAt(d.line, d.column, fmt.Sprintf("setting %q stands above nothing that has settings", d.key),
			"put it right above `- alert:`, above a group's `- name:`, or above `groups:`")
	}
}

// What a rule, a group and a file may set beyond Prometheus.
var (
	ruleSettings  = []string{"no_data", "on_error", "missing_after", "recover_expr", "on"}
	groupSettings = []string{"no_data", "on_error", "missing_after", "lookback", "lateness"}
	fileSettings  = []string{"lookbacks"}
)

// patience is what a rule, or a group for its rules, says about not knowing.
type patience struct {
	noData, onError alertd.Policy
	missingAfter    int // ticks
}

func (p *fileParser) patience(f map[string]field, from patience) patience {
	if v := p.policy(f["no_data"], alertd.Resolve, alertd.Keep, alertd.Alarm); v != "" {
		from.noData = v
	}
	if v := p.policy(f["on_error"], alertd.Keep, alertd.Alarm); v != "" {
		from.onError = v
	}
	if _, ok := f["missing_after"]; ok {
		from.missingAfter = p.count(f["missing_after"])
	}
	return from
}

func (p *fileParser) policy(f field, known ...alertd.Policy) alertd.Policy {
	s := alertd.Policy(p.text(f))
	if s == "" {
		return ""
	}
	words := make([]string, len(known))
	for i, k := range known {
		if words[i] = string(k); s == k {
			return s
		}
	}
	p.fail(f.value, fmt.Sprintf("%q is not known: %q", f.key.Value, s), "write one of "+strings.Join(words, ", "))
	return ""
}

// maxLateSlots bounds how many slots one late sample makes alertd evaluate again.
const maxLateSlots = 100

func (p *fileParser) lateness(f field, interval time.Duration) time.Duration {
	d := p.duration(f)
	if d > maxLateSlots*interval {
		p.fail(f.value, fmt.Sprintf("lateness is more than %d intervals of the group", maxLateSlots),
			"lower it, or raise the group's interval")
	}
	return d
}

// lookbacks reads how long samples of some metrics are believed, by the beginning of the metric's name.
func (p *fileParser) lookbacks(f field) map[string]time.Duration {
	out := make(map[string]time.Duration)
	for _, kv := range p.pairs(f.value, "lookbacks", 0) {
		d := p.duration(kv)
		if d <= 0 {
			p.fail(kv.key, fmt.Sprintf("look-back of %q is not longer than nothing", kv.key.Value), "write it like 15m")
			continue
		}
		out[kv.key.Value] = d
	}
	return out
}

// believes is how long a sample of a metric is believed that does not say so itself; 0: the evaluator's default. A
// metric's prefix goes before the group, the longest one first.
func (g *group) believes(metric string) time.Duration {
	best, d := -1, g.lookback
	for prefix, back := range g.lookbacks {
		if metric != "" && strings.HasPrefix(metric, prefix) && len(prefix) > best {
			best, d = len(prefix), back
		}
	}
	return d
}
