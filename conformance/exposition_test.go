package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"pgregory.net/rapid"

	"alertd"
	"alertd/ingest"
)

// arrived is when the messages of these tests did.
var arrived = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

const (
	textFormat  = "text/plain; version=0.0.4"
	openMetrics = "application/openmetrics-text; version=1.0.0"
)

// exposed is a sample of an exposition. Where the line has no timestamp, it is that of the arrival.
type exposed struct {
	labels labels.Labels
	t      int64
	v      float64
	odd    bool // the format does not allow the line, and Prometheus's parser does
}

func (e exposed) String() string {
	v := e.v
	if math.IsNaN(v) {
		v = math.NaN()
	}
	return fmt.Sprintf("%s %v @%d", e.labels, v, e.t-arrived.UnixMilli())
}

var (
	quoted    = regexp.MustCompile(`"(\\.|[^"\\])*"`)
	uncommaed = regexp.MustCompile(`""[ \t]*[^,=} \t]`)
)

// scraped is what Prometheus makes of an exposition, up to its first mistake.
func scraped(contentType, text string) (out []exposed, err error) {
	p, err := textparse.New([]byte(text), contentType, nil, textparse.ParserOptions{})
	if err != nil {
		return nil, err
	}
	for {
		switch entry, err := p.Next(); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return out, err
		case entry == textparse.EntryType:
			if name, _ := p.Type(); bytes.ContainsRune(name, '\n') {
				out = append(out, exposed{odd: true})
			}
		case entry == textparse.EntryHelp:
			if name, _ := p.Help(); bytes.ContainsRune(name, '\n') {
				out = append(out, exposed{odd: true})
			}
		case entry == textparse.EntrySeries:
			text, at, v := p.Series()
			after := text[:len(text)+1][len(text)] // it is a part of the whole
			e := exposed{t: arrived.UnixMilli(), v: v, odd: bytes.ContainsRune(text, '\n') || uncommaed.Match(quoted.ReplaceAll(text, []byte(`""`))) || after != ' ' && after != '\t'}
			if at != nil {
				e.t = *at
			}
			p.Labels(&e.labels)
			if blanks := len(text) - len(bytes.TrimLeft(text, " \t")); blanks > 0 && text[blanks] != '{' {
				// That parser takes blanks before a name for a part of it.
				e.labels = labels.NewBuilder(e.labels).Set(labels.MetricName, e.labels.Get(labels.MetricName)[blanks:]).Labels()
			}
			out = append(out, e)
		}
	}
}

// ingested is what alertd makes of it.
func ingested(d *ingest.Decoder, contentType, text string) (out []exposed, problems []ingest.Problem) {
	var events alertd.Events
	problems = d.Decode("alertd.metrics", map[string][]string{"Content-Type": {contentType}}, arrived, []byte(text), &events)
	for _, s := range events.Samples {
		out = append(out, exposed{labels: s.Labels, t: s.T, v: s.V})
	}
	return out, problems
}

// refused says which samples that Prometheus's parser yields alertd rightly does not take.
func refused(e exposed) bool {
	names := map[string]int{}
	long := false
	n := 0
	e.labels.Range(func(l labels.Label) {
		n++
		names[l.Name]++
		long = long || len(l.Name) > ingest.MaxName || len(l.Value) > ingest.MaxText
		long = long || l.Name == labels.MetricName && len(l.Value) > ingest.MaxName
	})
	for name, n := range names {
		if n > 1 || name == "" { // Prometheus, too, refuses these a step later
			return true
		}
	}
	return e.odd || long || n > ingest.MaxLabels+1 || names[labels.MetricName] == 0 || e.t < 0 || e.t > arrived.Add(ingest.MaxAhead).UnixMilli()
}

// compareExpositions fails where the two disagree about what is right for Prometheus.
func compareExpositions(t interface{ Fatalf(string, ...any) }, d *ingest.Decoder, contentType, text string) (lenient bool) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return false // alertd refuses the one as a whole, and for Prometheus the other is the end
	}
	theirs, err := scraped(contentType, text)
	ours, problems := ingested(d, contentType, text)
	show := func() string {
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n%q\nPrometheus: %v\n", contentType, text, err)
		for _, e := range theirs {
			fmt.Fprintf(&b, "  %s\n", e)
		}
		b.WriteString("alertd:\n")
		for _, e := range ours {
			fmt.Fprintf(&b, "  %s\n", e)
		}
		for _, p := range problems {
			fmt.Fprintf(&b, "  %s\n", p.Reason)
		}
		return b.String()
	}
	rest, broken := ours, slices.ContainsFunc(theirs, func(e exposed) bool { return e.odd })
	for n, want := range theirs {
		if refused(want) {
			continue
		}
		want.labels = want.labels.WithoutEmpty()
		i := slices.IndexFunc(rest, func(got exposed) bool { return same(got, want) })
		if i < 0 && err != nil && n == len(theirs)-1 {
			break // the mistake may be in the very same line
		}
		if i < 0 {
			t.Fatalf("alertd lacks %s\n%s", want, show())
		}
		if i > 0 && err == nil && !broken {
			t.Fatalf("alertd has %s besides\n%s", rest[0], show())
		}
		rest = rest[i+1:]
	}
	switch {
	case err == nil && len(rest) > 0 && !broken:
		t.Fatalf("alertd has %s besides\n%s", rest[0], show())
	case err == nil && len(problems) > 0 && strings.TrimSpace(text) != "" && !slices.ContainsFunc(theirs, refused):
		t.Fatalf("alertd refuses something\n%s", show())
	}
	if err == nil || len(problems) > 0 {
		return false
	}
	if plain, ok := tidy(text); ok && contentType == textFormat {
		again, err := scraped(contentType, plain)
		for i := range again {
			again[i].labels = again[i].labels.WithoutEmpty()
		}
		if err != nil || !slices.EqualFunc(ours, again, same) {
			t.Fatalf("alertd takes what cannot be tidied: %v\n%q\n%s", err, plain, show())
		}
	}
	return true
}

// typed is a comment that says what a metric is, as Prometheus's text format knows it.
var typed = regexp.MustCompile(`^#[ \t]+TYPE[ \t]+("(\\.|[^"\\])*"|[a-zA-Z_:][a-zA-Z0-9_:]*)[ \t](counter|gauge|histogram|summary|untyped)$`)

// tidy leaves out what alertd passes over and Prometheus's parser minds: blanks at the ends of lines, comments that say
// nothing it knows, and no line feed at the end. Exemplars, which alertd reads in both formats, cannot be left out.
func tidy(text string) (plain string, ok bool) {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.Trim(line, " \t\r\n")
		switch words := strings.Fields(line); {
		case !strings.HasPrefix(line, "#") && strings.Contains(quoted.ReplaceAllString(line, `""`), "#"):
			return "", false
		case !strings.HasPrefix(line, "#") || typed.MatchString(line):
			b.WriteString(line + "\n")
		case len(words) == 4 && words[1] == "TYPE" && (words[3] == "histogram" || words[3] == "summary"): // of what is no name
			b.WriteString("# TYPE x " + words[3] + "\n")
		case len(words) == 4 && words[1] == "TYPE": // of the types that only OpenMetrics has none matters here
			b.WriteString("# TYPE x untyped\n")
		}
	}
	return b.String(), true
}

// same allows for what OpenMetrics' seconds lose as a float.
func same(a, b exposed) bool {
	return labels.Equal(a.labels, b.labels) && (a.v == b.v || math.IsNaN(a.v) && math.IsNaN(b.v)) && max(a.t-b.t, b.t-a.t) <= 1
}

// exposition draws a text that is mostly right.
func exposition(t *rapid.T, open bool) string {
	pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "pick") }
	var b strings.Builder
	for range rapid.IntRange(0, 8).Draw(t, "lines") {
		gap := " "
		if !open {
			gap = pick(" ", " ", "  ", "\t")
		}
		switch rapid.IntRange(0, 9).Draw(t, "line") {
		case 0, 1:
			fmt.Fprintf(&b, "# TYPE %s %s\n", pick("up", "d", `"d q"`, "d:x"), pick("counter", "gauge", "histogram", "summary", "untyped", "unknown", "gaugehistogram", "info"))
			continue
		case 2:
			b.WriteString(pick("# HELP up Whether it is up.\n", "# HELP \"d q\" x\n", "# UNIT d_seconds seconds\n", "# a comment\n", "#\n", "\n", "# HELP up\n", "# EOF\n"))
			continue
		}
		name := pick("up", "d", "d_bucket", "d_sum", "d:x", "_x9", "")
		var pairs []string
		if name == "" || rapid.IntRange(0, 9).Draw(t, "quoted") == 0 {
			name = ""
			pairs = append(pairs, pick(`"d q"`, `"up"`, `"a\"b"`, `"ö"`, `"a\\b"`))
		}
		for range rapid.IntRange(0, 3).Draw(t, "labels") {
			pairs = append(pairs, pick("a", "b", "le", "quantile", "service", `"l m"`, `"ö.x"`, "__name__", "_")+pick("=", "=", "=", " = ")+
				pick(`"1"`, `"1.0"`, `"+Inf"`, `"0.99"`, `"1e3"`, `""`, `"x y"`, `"a\"b"`, `"a\\"`, `"a\nb"`, `"a\tb"`, `"{"`, `"}"`, `"#"`, `"ö"`, "\"a\nb\"", `"0x1p4"`, `"NaN"`, `"1e-7"`, `"100000000000000000000000"`))
		}
		b.WriteString(name)
		if len(pairs) > 0 || rapid.IntRange(0, 3).Draw(t, "braces") == 0 {
			b.WriteString(pick("", "", "", gap) + "{" + strings.Join(pairs, pick(",", ",", ", ")) + pick("", "", "", ",") + "}")
		}
		b.WriteString(gap + pick("1", "0.5", "-3", "1e9", "NaN", "+Inf", "-Inf", "nan", "inf", "1e400", "0x1p4", "1_0", "Infinity", ".5", "5.", "+7", "1E3", "-0", "1e-400", "00017", "9007199254740993"))
		if rapid.IntRange(0, 2).Draw(t, "stamped") == 0 {
			if open {
				b.WriteString(" " + pick("1768472999", "1768472999.123", "1768472990.5", "-1", "1.7684e9", "0", "NaN", "1e99"))
			} else {
				b.WriteString(gap + pick("1768472999000", "1768472999123", "0", "1768473000001", "17684730000000", "99999999999999999999"))
			}
		}
		if open && rapid.IntRange(0, 3).Draw(t, "exemplar") == 0 {
			b.WriteString(" # {" + pick(`trace_id="4bf92f3577b34da6a3ce929d0e0e4736"`, "", `a="b",c="d"`) + "} " + pick("0.5", "1", "x") + pick("", " 1768472999.1"))
		}
		b.WriteString(pick("\n", "\n", "\n", "\n", "\n", "\n", " \n", "\r\n"))
	}
	if open && rapid.IntRange(0, 9).Draw(t, "eof") > 0 {
		b.WriteString("# EOF\n")
	}
	text := b.String()
	for len(text) > 0 && rapid.IntRange(0, 3).Draw(t, "mutate") == 0 {
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		text = text[:at] + pick("", "", "\"", "{", "}", ",", "=", " ", "\n", "\\", "#", "1", "a") + text[at+rapid.IntRange(0, 1).Draw(t, "gone"):]
	}
	return text
}

// TestExposition: whatever Prometheus's parsers take of an exposition alertd takes, with the same labels, values and
// instants. The other way round it is more patient: a line that is wrong costs the others nothing.
func TestExposition(t *testing.T) {
	right, lenient := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		open := rapid.Bool().Draw(t, "open")
		text, contentType := exposition(t, open), textFormat
		if open {
			contentType = openMetrics
		}
		d := ingest.NewDecoder()
		for range 2 { // cold, and when it knows the series
			if compareExpositions(t, d, contentType, text) {
				lenient++
			}
		}
		if theirs, err := scraped(contentType, text); err == nil && len(theirs) > 0 {
			right++
		}
	})
	t.Logf("%d are right for both, %d for alertd alone", right, lenient)
	if right == 0 {
		t.Error("the test saw nothing")
	}
}

// FuzzExposition does the same for any text. It begins with alertd's golden ones.
func FuzzExposition(f *testing.F) {
	golden, err := os.ReadFile("../ingest/testdata/formats/exposition.txt")
	if err != nil {
		f.Fatal(err)
	}
	seeds := 0
	for part := range strings.SplitSeq("\n"+string(golden), "\ndecode") {
		args, body, _ := strings.Cut(part, "\n")
		if text, _, ok := strings.Cut(body, "----"); ok {
			f.Add(strings.Contains(args, "openmetrics"), text)
			seeds++
		}
	}
	if seeds < 4 {
		f.Fatalf("%d golden texts", seeds)
	}
	f.Fuzz(func(t *testing.T, open bool, text string) {
		contentType := textFormat
		if open {
			contentType = openMetrics
		}
		d := ingest.NewDecoder()
		compareExpositions(t, d, contentType, text)
		compareExpositions(t, d, contentType, text)
	})
}
