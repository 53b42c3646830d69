package natsbus

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of the streams.
const (
	EventsStream  = "ALERTD_EVENTS"
	JournalStream = "ALERTD_JOURNAL"
)

// Subjects, and the prefixes to which a token is appended.
const (
	MetricsPrefix  = "alertd.metrics."
	HealthPrefix   = "alertd.health."
	EventsPrefix   = "alertd.events."
	JournalSubject = "alertd.journal"
)

// tokenLimit bounds what a name from outside adds to a subject, in bytes. A NATS protocol line holds 4096.
const tokenLimit = 128

// MetricsSubject is where a service publishes its metrics. The service becomes one token, see [Token].
func MetricsSubject(service string) string { return MetricsPrefix + Token(service) }

// HealthSubject is where a service's health is published. The service becomes one token, see [Token].
func HealthSubject(service string) string { return HealthPrefix + Token(service) }

// EventsSubject is where occurrences of a type are published. A type is dotted, as in "deployment.completed", and
// so are the tokens that it becomes.
func EventsSubject(typ string) string {
	parts := strings.Split(cut(typ), ".")
	for i, p := range parts {
		parts[i] = Token(p)
	}
	return EventsPrefix + strings.Join(parts, ".")
}

// Token makes one token of a subject from any string: what has a meaning in subjects (dot, star, greater-than,
// white space) and what cannot be printed becomes "_", so does the empty string; at most 128 bytes remain. Two names
// may share a token: the service's real name is in the message.
func Token(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '.' || r == '*' || r == '>' || r == utf8.RuneError || !unicode.IsPrint(r) || unicode.IsSpace(r) {
			return '_'
		}
		return r
	}, cut(s))
	if s == "" {
		return "_"
	}
	return cut(s)
}

// cut shortens s to the limit without splitting a rune.
func cut(s string) string {
	if len(s) <= tokenLimit {
		return s
	}
	n := tokenLimit
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
