package tracectx

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"time"

	"alertd"
)

// Link is a template for the address of one trace in somebody's tracing backend. A nil Link is one that nobody
// configured: it links to nothing. Safe for concurrent use.
type Link struct {
	tmpl *template.Template
}

const (
	maxURL = 4 << 10
	margin = 15 * time.Minute // backends that are asked for a range are asked for this much on either side
)

const linkFields = ".TraceID .SpanID .XRayID .Service, and .Start and .End with S, MS, US or RFC3339 added (.StartMS)"

// linkData is what a template can name. Every value is percent-encoded already, so that a service's name
// cannot leave the place in the URL that the template gave it.
type linkData struct {
	TraceID, SpanID, XRayID, Service     string
	StartS, StartMS, StartUS             string
	EndS, EndMS, EndUS                   string
	Start, End, StartRFC3339, EndRFC3339 string
}

// ParseLink reads a template such as "https://jaeger.example/trace/{{.TraceID}}". It is a Go template over
// TraceID, SpanID, XRayID (the id as AWS X-Ray writes it), Service, and the instants Start and End, 15 minutes
// around the event: StartS, StartMS, StartUS are seconds, milliseconds and microseconds since the epoch, Start
// and StartRFC3339 are text in UTC; likewise End. All values arrive percent-encoded.
//
// The result must be an http or https URL, and must depend on the trace or the span. The empty template is a
// nil Link and no error.
func ParseLink(tmpl string) (*Link, error) {
	if strings.TrimSpace(tmpl) == "" {
		return nil, nil
	}
	t, err := template.New("trace link").Option("missingkey=error").Parse(strings.TrimSpace(tmpl))
	if err != nil {
		return nil, fmt.Errorf("trace link %q: %w; write it like https://jaeger.example/trace/{{.TraceID}}", tmpl, err)
	}
	l := &Link{tmpl: t}

	at := time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	one, err := l.expand(alertd.TraceRef{TraceID: strings.Repeat("1", traceDigits), SpanID: strings.Repeat("1", spanDigits)}, "a", at)
	if err != nil {
		return nil, fmt.Errorf("trace link %q: %w", tmpl, err)
	}
	two, err := l.expand(alertd.TraceRef{TraceID: strings.Repeat("2", traceDigits), SpanID: strings.Repeat("2", spanDigits)}, "a", at)
	if err != nil {
		return nil, fmt.Errorf("trace link %q: %w", tmpl, err)
	}
	if one == two {
		return nil, fmt.Errorf("trace link %q is the same for every trace; put {{.TraceID}} where the id belongs", tmpl)
	}
	return l, nil
}

// URL is the address of the trace ref, which the given service sent at the given instant. It is "" for a nil
// Link, for no trace, for a trace that was not sampled (nobody keeps it, the link would dangle), and where the
// template does not make a URL of these values.
func (l *Link) URL(ref alertd.TraceRef, service string, at time.Time) string {
	if l == nil || ref.IsZero() || ref.Unsampled {
		return ""
	}
	u, err := l.expand(ref, service, at)
	if err != nil {
		return ""
	}
	return u
}

func (l *Link) expand(ref alertd.TraceRef, service string, at time.Time) (string, error) {
	start, end := at.Add(-margin).UTC(), at.Add(margin).UTC()
	d := linkData{
		TraceID: encode(ref.TraceID), SpanID: encode(ref.SpanID), Service: encode(service),
		StartS: strconv.FormatInt(start.Unix(), 10), EndS: strconv.FormatInt(end.Unix(), 10),
		StartMS: strconv.FormatInt(start.UnixMilli(), 10), EndMS: strconv.FormatInt(end.UnixMilli(), 10),
		StartUS: strconv.FormatInt(start.UnixMicro(), 10), EndUS: strconv.FormatInt(end.UnixMicro(), 10),
		StartRFC3339: encode(start.Format(time.RFC3339)), EndRFC3339: encode(end.Format(time.RFC3339)),
	}
	d.Start, d.End = d.StartRFC3339, d.EndRFC3339
	if len(ref.TraceID) == traceDigits {
		d.XRayID = "1-" + ref.TraceID[:8] + "-" + ref.TraceID[8:]
	}

	var b strings.Builder
	if err := l.tmpl.Execute(&limited{&b}, d); err != nil {
		if errors.Is(err, errTooLong) {
			return "", errTooLong
		}
		return "", fmt.Errorf("%w; a template can name %s", err, linkFields)
	}
	u, err := url.Parse(b.String())
	switch {
	case err != nil:
		return "", fmt.Errorf("does not make a URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("a trace link starts with http:// or https://")
	case u.Host == "":
		return "", errors.New("the URL names no host")
	case u.User != nil:
		return "", errors.New("the URL names a user, whom everybody who is told of an alert would see")
	}
	return u.String(), nil
}

// encode is percent-encoding that holds in a path as well as in a query: QueryEscape, but no plus for a space.
func encode(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

var errTooLong = fmt.Errorf("the URL is longer than %d bytes", maxURL)

// limited refuses to write more than a URL can use.
type limited struct{ b *strings.Builder }

func (w *limited) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > maxURL {
		return 0, errTooLong
	}
	return w.b.Write(p)
}
