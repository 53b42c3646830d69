package amapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// Bounds of what one alert may bring. Alertmanager has none; a page of this size is nothing that anybody reads.
const (
	maxAlertSize = 64 << 10 // bytes of JSON
	maxLabels    = 256      // and as many annotations
)

// decodeAlerts reads the body of a post: a JSON list of alerts. The error says that it is no such list. Else what is
// wrong with single alerts is in faults, and all others are in alerts.
//
// The syntax is checked once and for all by encoding/json, so that what walks over the body afterwards needs not be
// careful: it is three times as quick as reflection and can leave out a single alert.
func decodeAlerts(body []byte) (alerts []alertd.Posted, faults []*failure, err error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil, refused(codeRequired, "alerts in body is required")
	}
	if err := validJSON(body); err != nil {
		return nil, nil, err
	}
	text := string(body) // the strings in it share its memory until they become labels
	i := space(text, 0)
	switch {
	case strings.HasPrefix(text[i:], "null"):
		return nil, nil, nil
	case text[i] != '[':
		return nil, nil, refused(http.StatusBadRequest, "parsing alerts body failed: a list of alerts is needed, not %s", kindOf(text[i]))
	}
	d := decoder{text: text}
	d.each(i, func(i, end int) {
		n := len(alerts) + len(faults)
		p, f := d.alert(i, end)
		if f != nil {
			f.text = fmt.Sprintf("%d.%s", n, f.text)
			faults = append(faults, f)
			return
		}
		alerts = append(alerts, p)
	})
	return alerts, faults, nil
}

// validJSON says where a body stops being JSON.
func validJSON(body []byte) error {
	if json.Valid(body) {
		return nil
	}
	var raw json.RawMessage
	err := json.Unmarshal(body, &raw)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		before := body[:min(int(syntax.Offset), len(body))]
		line := bytes.Count(before, []byte("\n")) + 1
		column := len(before) - bytes.LastIndexByte(before, '\n') - 1
		return refused(http.StatusBadRequest, "parsing the body failed at line %d, column %d: %v", line, column, err)
	}
	return refused(http.StatusBadRequest, "parsing the body failed: %v", err)
}

// decoder walks over JSON that is known to be well formed.
type decoder struct {
	text  string
	pairs []labels.Label // room that is used again
	url   string         // the last one that was fine: those of a rule are the same
}

// alert reads the object in text[i:end].
func (d *decoder) alert(i, end int) (p alertd.Posted, f *failure) {
	switch {
	case end-i > maxAlertSize:
		return p, refused(http.StatusBadRequest, "alert is larger than %d KiB", maxAlertSize>>10)
	case d.text[i] != '{' && d.text[i] != 'n':
		return p, refused(http.StatusBadRequest, "alert is no object but %s", kindOf(d.text[i]))
	}
	named := false
	d.members(i, func(name string, i, end int) {
		if f != nil || d.text[i] == 'n' {
			return // null is as good as nothing
		}
		switch memberOf(name) {
		case "labels":
			named = true
			p.Labels, f = d.labels("labels", i, false)
		case "annotations":
			p.Annotations, f = d.labels("annotations", i, true)
		case "startsAt":
			p.StartsAt, f = d.time("startsAt", i, end)
		case "endsAt":
			p.EndsAt, f = d.time("endsAt", i, end)
		case "generatorURL":
			p.GeneratorURL, f = d.uri("generatorURL", i, end)
		}
	})
	switch {
	case f != nil:
		return p, f
	case !named:
		return p, refused(codeRequired, "labels in body is required")
	case p.Labels.IsEmpty():
		return p, &failure{status: http.StatusBadRequest, text: "labels: at least one label pair required"}
	}
	if p.StartsAt.IsZero() {
		p.StartsAt = p.EndsAt // what is over and never began, began when it was over
	}
	if !p.EndsAt.IsZero() && p.EndsAt.Before(p.StartsAt) {
		return p, &failure{status: http.StatusBadRequest, text: "startsAt: start time must be before end time"}
	}
	return p, nil
}

// memberOf is the member of an alert that is meant. As in Go's own decoder, which is Alertmanager's, capitals do not matter.
func memberOf(name string) string {
	for _, known := range [...]string{"labels", "annotations", "startsAt", "endsAt", "generatorURL"} {
		if len(known) == len(name) && strings.EqualFold(known, name) {
			return known
		}
	}
	return ""
}

// labels reads an object of strings. Of a name that comes twice, the last counts; a label without value is no label.
func (d *decoder) labels(what string, i int, keepEmpty bool) (ls alertd.Labels, f *failure) {
	if d.text[i] != '{' {
		return ls, refused(http.StatusBadRequest, "%s in body must be an object, not %s", what, kindOf(d.text[i]))
	}
	d.pairs = d.pairs[:0]
	d.members(i, func(name string, i, end int) {
		l := labels.Label{Name: name}
		switch d.text[i] {
		case '"':
			l.Value = unquote(d.text[i:end])
		case 'n':
		default:
			f = refused(http.StatusBadRequest, "%s.%s in body must be a string, not %s", what, name, kindOf(d.text[i]))
		}
		d.pairs = append(d.pairs, l)
	})
	if f != nil {
		return ls, f
	}
	if len(d.pairs) > maxLabels {
		return ls, &failure{status: http.StatusBadRequest, text: fmt.Sprintf("%s: more than %d", what, maxLabels)}
	}
	slices.SortStableFunc(d.pairs, func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) })
	kept := d.pairs[:0]
	for i, l := range d.pairs {
		if i+1 < len(d.pairs) && d.pairs[i+1].Name == l.Name || l.Value == "" && !keepEmpty {
			continue
		}
		if l.Name == "" {
			return ls, &failure{status: http.StatusBadRequest, text: what + ": a name is empty"}
		}
		kept = append(kept, l)
	}
	return labels.New(kept...), nil
}

// layouts are those that Alertmanager reads. Without a zone it is UTC.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z",
	"2006-01-02T15:04", "2006-01-02 15:04:05", time.DateOnly,
}

func (d *decoder) time(what string, i, end int) (time.Time, *failure) {
	s := d.text[i:end]
	if s[0] != '"' {
		return time.Time{}, refused(http.StatusBadRequest, "%s in body must be a time in a string, not %s", what, kindOf(s[0]))
	}
	t, err := parseTime(unquote(s))
	if err != nil {
		return time.Time{}, refused(http.StatusBadRequest, "%s in body: %v", what, err)
	}
	return t, nil
}

// parseTime reads an instant; an empty string is the zero time. It is UTC, and in the years that RFC 3339 can write.
func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range layouts {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		t = t.UTC()
		if y := t.Year(); y < 1 || y > 9999 {
			break
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%.40q is no time such as 2006-01-02T15:04:05.000Z", s)
}

func (d *decoder) uri(what string, i, end int) (string, *failure) {
	s := d.text[i:end]
	if s[0] != '"' {
		return "", refused(http.StatusBadRequest, "%s in body must be a string, not %s", what, kindOf(s[0]))
	}
	if s = unquote(s); s == "" || s == d.url {
		return d.url[:len(s)], nil
	}
	if _, err := url.ParseRequestURI(s); err != nil {
		return "", refused(codeType, "%s in body must be of type uri: %.100q", what, s)
	}
	d.url = strings.Clone(s)
	return d.url, nil
}

// each calls f with the extent of every element of the list at i.
func (d *decoder) each(i int, f func(i, end int)) {
	for i = space(d.text, i+1); d.text[i] != ']'; {
		end := valueEnd(d.text, i)
		f(i, end)
		if i = space(d.text, end); d.text[i] == ',' {
			i = space(d.text, i+1)
		}
	}
}

// members calls f with every name and the extent of its value of the object at i. null has none.
func (d *decoder) members(i int, f func(name string, i, end int)) {
	if d.text[i] != '{' {
		return
	}
	for i = space(d.text, i+1); d.text[i] != '}'; {
		end := textEnd(d.text, i)
		name := unquote(d.text[i:end])
		i = space(d.text, space(d.text, end)+1) // over the colon
		end = valueEnd(d.text, i)
		f(name, i, end)
		if i = space(d.text, end); d.text[i] == ',' {
			i = space(d.text, i+1)
		}
	}
}

// space returns where the space at i ends.
func space(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// valueEnd returns where the value that begins at i ends.
func valueEnd(s string, i int) int {
	switch s[i] {
	case '"':
		return textEnd(s, i)
	case '{', '[':
		for depth := 0; ; i++ {
			switch s[i] {
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			case '"':
				i = textEnd(s, i) - 1
			}
		}
	}
	for i < len(s) && !strings.ContainsRune(",]} \n\t\r", rune(s[i])) {
		i++
	}
	return i
}

// textEnd returns where the string that begins at i ends, behind its quote.
func textEnd(s string, i int) int {
	for i++; s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// unquote returns what a JSON string says. What is no UTF-8 becomes U+FFFD, as in encoding/json.
func unquote(s string) string {
	if inner := s[1 : len(s)-1]; strings.IndexByte(inner, '\\') < 0 && utf8.ValidString(inner) {
		return inner
	}
	var out string
	_ = json.Unmarshal([]byte(s), &out) // it is a JSON string
	return out
}

// kindOf names the value that begins with c.
func kindOf(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
