package config

import (
	"fmt"
	"io"
	"log/slog"
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
