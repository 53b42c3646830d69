package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

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
