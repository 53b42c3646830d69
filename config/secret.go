package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Secret is text that no log, error or page may show. Every way to print it gives "<secret>", or "" where it is
// empty; only [Secret.Reveal] returns it. (As the key of a map encoding/json would show it: never make it one.)
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides it.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "<secret>"
}

// Format hides it from every verb of package fmt.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue hides it.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON hides it.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalYAML hides it.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

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
