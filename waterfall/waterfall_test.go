package waterfall_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"alertd/tracectx"
	"alertd/waterfall"
)

var start = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

func span(id, parent, service, name string, from, took int, failure string) tracectx.Span {
	return tracectx.Span{
		ID: id, Parent: parent, Service: service, Name: name, Start: start.Add(time.Duration(from) * time.Millisecond),
		Duration: time.Duration(took) * time.Millisecond, Failed: failure != "", Error: strings.TrimPrefix(failure, "-"),
	}
}

// five is the usual case: a page that hangs in the database of a service two calls away.
func five() tracectx.Trace {
	return tracectx.Trace{ID: "4bf92f3577b34da6a3ce929d0e0e4736", Spans: []tracectx.Span{
		span("1", "", "frontend", "GET /checkout", 0, 5240, "-"),
		span("2", "1", "cart", "GetCart", 20, 130, ""),
		span("3", "1", "orders", "POST /orders", 170, 5040, "upstream failed"),
		span("4", "3", "orders", "SELECT orders FOR UPDATE", 260, 4800, "lock timeout: could not obtain lock on row in relation orders"),
		span("5", "3", "payment", "Reserve", 190, 60, ""),
	}}
}

// many is a fan-out of sixty.
func many() tracectx.Trace {
	t := tracectx.Trace{ID: "b", Spans: []tracectx.Span{span("root", "", "search", "GET /search?q=…", 0, 900, "")}}
	for i := range 59 {
		parent := "root"
		if i%6 != 0 {
			parent = fmt.Sprint("s", i/6*6)
		}
		s := span(fmt.Sprint("s", i), parent, fmt.Sprint("shard-", i/6), fmt.Sprintf("query segment %d", i), 10+i*14, 800-i*13, "")
		if i == 37 {
			s.Failed, s.Error = true, "shard is read-only"
		}
		t.Spans = append(t.Spans, s)
	}
	return t
}

// broken is what comes when a back-end dropped spans and a clock is wrong.
func broken() tracectx.Trace {
	return tracectx.Trace{ID: "c", Partial: true, Spans: []tracectx.Span{
		span("1", "", "gateway", "POST /pay", 0, 800, ""),
		span("2", "1", "payment", "Charge", -3000, 700, ""), // three seconds slow
		span("3", "2", "payment", "INSERT ledger", -2900, 500, ""),
		span("4", "gone", "mailer", "Send receipt", 820, 400, "-"),
		span("5", "6", "loop", "a", 100, 50, ""),
		span("6", "5", "loop", "b", 110, 20, ""),
	}}
}

func evil() tracectx.Trace {
	return tracectx.Trace{ID: "d", Spans: []tracectx.Span{
		span("1", "", `</title></svg><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`+strings.Repeat("long ", 50), 0, 10, "\x00\u202e]]><!--"),
	}}
}

func TestPictures(t *testing.T) {
	for name, tt := range map[string]struct {
		trace tracectx.Trace
		asked string
		says  []string
	}{
		"five":   {five(), "4", []string{"5 spans of 4 services, 5.24 s", "4.8 s of it in orders: SELECT orders FOR UPDATE", "lock timeout", "► orders"}},
		"many":   {many(), "", []string{"60 spans of 11 services", "36 more spans not shown", "shard is read-only"}},
		"broken": {broken(), "", []string{"the trace is not whole", "2 spans whose parent is missing", "2 spans moved: clocks differ"}},
		"evil":   {evil(), "", []string{"1 span of 1 service", "&lt;script&gt;"}},
		"empty":  {tracectx.Trace{}, "", []string{"0 spans"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := tracectx.Draw(tt.trace, tt.asked, waterfall.MaxRows)
			svg := string(waterfall.SVG(&w))
			for _, want := range tt.says {
				if !strings.Contains(svg, want) {
					t.Errorf("no %q", want)
				}
			}
			for _, bad := range []string{"<script", "<img", "style=", "href", "\x00", "onerror=alert(1)>"} {
				if strings.Contains(svg, bad) {
					t.Errorf("%q is in the picture", bad)
				}
			}
			wellFormed(t, svg)
			picture, err := waterfall.PNG(&w)
			if err != nil {
				t.Fatal(err)
			}
			img, err := png.Decode(bytes.NewReader(picture))
			if err != nil || img.Bounds().Dx() != 1920 || len(picture) > 300<<10 {
				t.Errorf("%d bytes, %v", len(picture), err)
			}
			dir := t.ArtifactDir() // kept with go test -artifacts, to be looked at
			for file, data := range map[string][]byte{name + ".svg": []byte(svg), name + ".png": picture} {
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func wellFormed(t testing.TB, svg string) {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := dec.Token(); err != nil {
			if err.Error() != "EOF" {
				t.Errorf("not XML: %v", err)
			}
			return
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ns", 999: "999 ns", 1500: "1.5 µs", 12_345 * time.Microsecond: "12.3 ms", 250 * time.Millisecond: "250 ms",
		5240 * time.Millisecond: "5.24 s", 59 * time.Second: "59 s", 90 * time.Second: "1 min 30 s",
	} {
		if got := waterfall.Span(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func FuzzSVG(f *testing.F) {
	f.Add("<a>", "&amp;", "]]>", int64(0), int64(1), int64(-5), int64(1<<62))
	f.Fuzz(func(t *testing.T, service, name, failure string, a, b, c, d int64) {
		trace := tracectx.Trace{Spans: []tracectx.Span{
			{ID: "1", Service: service, Name: name, Start: time.Unix(0, a), Duration: time.Duration(b)},
			{ID: "2", Parent: "1", Service: name, Name: failure, Start: time.Unix(0, c), Duration: time.Duration(d), Failed: true, Error: failure},
		}}
		w := tracectx.Draw(trace, "2", waterfall.MaxRows)
		svg := string(waterfall.SVG(&w))
		wellFormed(t, svg)
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") && !strings.Contains(service+name+failure, "Inf") {
			t.Error(svg)
		}
	})
}

func BenchmarkPNG(b *testing.B) {
	w := tracectx.Draw(many(), "", waterfall.MaxRows)
	for b.Loop() {
		if _, err := waterfall.PNG(&w); err != nil {
			b.Fatal(err)
		}
	}
}
