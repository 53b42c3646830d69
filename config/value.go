package config

import (
	"errors"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

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
