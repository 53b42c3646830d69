package ingest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/model/value"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"alertd"
)

// TestFormats replays golden samples of all formats but our own: a message, and what becomes of it.
//
//	decode [subject=SUBJECT] [HEADER=VALUE …]   the message as it stands
//	otlp [subject=SUBJECT]                      an ExportMetricsServiceRequest, sent as protobuf and as JSON
//	fresh                                       a decoder that has seen nothing
func TestFormats(t *testing.T) {
	datadriven.Walk(t, "testdata/formats", func(t *testing.T, path string) {
		d, other := NewDecoder(), NewDecoder()
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			subject, header := "alertd.metrics.shop", map[string][]string{}
			for _, arg := range td.CmdArgs {
				if arg.Key == "subject" {
					subject = arg.Vals[0]
				} else {
					header[arg.Key] = []string{strings.Join(arg.Vals, ", ")}
				}
			}
			switch td.Cmd {
			case "fresh":
				d, other = NewDecoder(), NewDecoder()
				return ""
			case "decode":
				skipped := d.Skipped()
				out := run(d, subject, header, []byte(td.Input))
				if n := d.Skipped() - skipped; n > 0 {
					out += fmt.Sprintf("skipped %d\n", n)
				}
				return out
			case "otlp":
				var req collectorpb.ExportMetricsServiceRequest
				if err := prototext.Unmarshal([]byte(td.Input), &req); err != nil {
					t.Fatal(err)
				}
				binary, text := otlpBytes(t, &req), otlpJSON(t, &req)
				out := run(d, subject, header, binary)
				if b := run(other, subject, header, text); unplaced(out) != unplaced(b) {
					t.Errorf("as protobuf:\n%s\nas JSON:\n%s\n%s", out, b, text)
				}
				return out
			default:
				t.Fatalf("unknown command %s", td.Cmd)
				return ""
			}
		})
	})
}

var place = regexp.MustCompile(`((item \d+: )?byte \d+|line \d+, column \d+): `)

func unplaced(s string) string { return place.ReplaceAllString(s, "") }

// run decodes and shows what came of it.
func run(d *Decoder, subject string, header map[string][]string, payload []byte) string {
	var events alertd.Events
	problems := d.Decode(subject, header, arrival, payload, &events)
	var out strings.Builder
	out.WriteString(showFull(events))
	for _, p := range problems {
		out.WriteString("problem: " + p.Reason + "\n")
	}
	return out.String()
}

// showFull is show, with native histograms.
func showFull(e alertd.Events) string {
	var b strings.Builder
	for _, s := range e.Samples {
		v := fmt.Sprint(alertd.Value(s.V))
		switch {
		case s.H != nil && value.IsStaleNaN(s.H.Sum), value.IsStaleNaN(s.V):
			v = "stale"
		case s.H != nil:
			v = s.H.String() + fmt.Sprintf(" schema=%d", s.H.Schema)
		}
		fmt.Fprintf(&b, "%s %s @%+d", s.Labels, v, s.T-arrival.UnixMilli())
		if !s.Trace.IsZero() {
			b.WriteString(traceText(s.Trace))
		}
		b.WriteByte('\n')
	}
	b.WriteString(show(alertd.Events{Occurrences: e.Occurrences}))
	return b.String()
}

func otlpBytes(t testing.TB, req *collectorpb.ExportMetricsServiceRequest) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var base64ID = regexp.MustCompile(`"(traceId|spanId)":\s*"([^"]*)"`)

// otlpJSON is the request as OTLP wants it: protobuf's JSON, with ids in hexadecimal.
func otlpJSON(t testing.TB, req *collectorpb.ExportMetricsServiceRequest) []byte {
	t.Helper()
	b, err := protojson.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	return base64ID.ReplaceAllFunc(b, func(m []byte) []byte {
		parts := base64ID.FindSubmatch(m)
		id, err := base64.StdEncoding.DecodeString(string(parts[2]))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, `"%s":"%s"`, parts[1], hex.EncodeToString(id))
	})
}

func TestCompression(t *testing.T) {
	payload := batch(100, "[", ",", "]")
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(payload)
	w.Close()
	zw, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zs := zw.EncodeAll(payload, nil)
	var framed bytes.Buffer
	sw := snappy.NewBufferedWriter(&framed)
	sw.Write(payload)
	sw.Close()
	bomb := func(size int) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(make([]byte, size))
		w.Close()
		return b.Bytes()
	}
	noise := make([]byte, MaxPayload+1) // grows by far less than the ratio
	for i := range noise {
		noise[i] = byte(i>>11*7 ^ i>>3)
	}

	d := NewDecoder()
	for _, c := range []struct {
		encoding string
		payload  []byte
		good     int
		want     string
	}{
		{"gzip", gz.Bytes(), 100, ""},
		{"GZIP ", gz.Bytes(), 100, ""},
		{"zstd", zs, 100, ""},
		{"snappy", snappy.Encode(nil, payload), 100, ""},
		{"snappy", framed.Bytes(), 100, ""},
		{"identity", payload, 100, ""},
		{"br", payload, 0, `the Content-Encoding "br" is not known; send gzip, zstd or snappy`},
		{"gzip", payload, 0, "says that it is compressed with gzip, and is not"},
		{"gzip", gz.Bytes()[:200], 0, "unexpected EOF"},
		{"zstd", payload, 0, "compressed with zstd, and is not"},
		{"zstd", zs[:len(zs)/2], 0, "unexpected EOF"},
		{"snappy", payload, 0, "compressed with snappy, and is not"},
		{"gzip", bomb(4 << 20), 0, "250 times as much"},
		{"gzip", bomb(MaxPayload * 10), 0, "when it is not compressed"},
		{"zstd", zw.EncodeAll(make([]byte, MaxPayload*10), nil), 0, "250 times as much"},
		{"snappy", snappy.Encode(nil, noise), 0, "when it is not compressed"},
		{"gzip", gz.Bytes(), 100, ""}, // and all goes on
		{"zstd", zs, 100, ""},
	} {
		var out alertd.Events
		problems := d.Decode("alertd.metrics.api", map[string][]string{"content-encoding": {c.encoding}}, arrival, c.payload, &out)
		if len(out.Samples) != c.good || (len(problems) == 0) != (c.want == "") || c.want != "" && !strings.Contains(problems[0].Reason, c.want) {
			t.Errorf("%s of %d bytes: %d samples, %v; want %d, %q", c.encoding, len(c.payload), len(out.Samples), problems, c.good, c.want)
		}
	}
}

// What is one format is not taken for another.
func TestShapes(t *testing.T) {
	otlp := otlpBytes(t, otlpNumbers(2, 3))
	for _, c := range []struct {
		payload string
		want    format
	}{
		{`{"name":"x","value":1}`, formatJSON},
		{"\n{\"name\":\"x\"}", formatJSON},
		{"[]", formatJSON},
		{"", formatJSON},
		{"hello", formatJSON},
		{"hello world", formatJSON},
		{"17", formatJSON},
		{"# a comment alone", formatJSON},
		{"cpu usage=1", formatLine},
		{"cpu,host=a\\ b usage=1,idle=2i 1768473000000000000\n", formatLine},
		{"# made by telegraf\ncpu,host=a usage=1", formatLine},
		{"\ufeffcpu usage=1", formatLine},
		{"größe,ort=köln wert=1", formatLine},
		{"up 1", formatText},
		{"up 1 1768473000000", formatText},
		{"up{job=\"a = b\"} 1", formatText},
		{"up {job=\"x\"} NaN", formatText},
		{"# TYPE up gauge\nup 1\n", formatText},
		{"# TYPE up gauge\nup 1\n# EOF\n", formatOpen},
		{"# EOF", formatOpen},
		{string(otlp), formatOTLP},
		{"\n\n\n", formatJSON},
	} {
		if got := shapeOf([]byte(c.payload)); got != c.want {
			t.Errorf("%.40q: format %d, want %d", c.payload, got, c.want)
		}
	}
}

func TestHeadersDecideTheFormat(t *testing.T) {
	const line = "up 1\n"
	for _, c := range []struct{ name, value, payload, want string }{
		{"Content-Type", "text/plain; version=0.0.4; charset=utf-8", line, "up"},
		{"content-type", "APPLICATION/OpenMetrics-Text; version=1.0.0", line + "# EOF\n", "up"},
		{"CONTENT-TYPE", "application/json", line, "not an event"},
		{"Content-Type", "application/x-protobuf; proto=io.prometheus.write.v2.Request", line, "of protobuf only OTLP metrics are"},
		{"Content-Type", "application/x-protobuf", line, "not OTLP metrics"},
		{"Content-Type", "text/plain", line, "up"},
		{"Content-Type", ";;;", line, "up"},
	} {
		if got := run(NewDecoder(), "alertd.metrics.api", map[string][]string{c.name: {c.value}}, []byte(c.payload)); !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %s, want %s", c.name, c.value, got, c.want)
		}
	}
}

// A message of any format is bounded, and says so.
func TestFormatsAreBounded(t *testing.T) {
	many := strings.Repeat("a=1,", MaxEvents/2)
	var text strings.Builder
	for i := range MaxEvents + 2 {
		fmt.Fprintf(&text, "a%d 1\n", i)
	}
	wide := otlpNumbers(1, 1)
	for range MaxLabels {
		m := wide.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetSum().DataPoints[0]
		m.Attributes = append(m.Attributes, m.Attributes[0])
	}
	for _, c := range []struct{ name, payload, want string }{
		{"fields", "m " + many + "a=1\nm " + many + "a=1\n", "more than 100000 samples"},
		{"lines", strings.Repeat("a 1\n", MaxEvents+1), "more than 100000 events"},
		{"series", text.String(), "more than 100000 events"},
		{"points", string(otlpBytes(t, otlpNumbers(1, MaxEvents+1))), "more than 100000 events"},
		{"empty points", string(emptyPoints(MaxPayload / 3)), "100 more"},
		{"attributes", string(otlpBytes(t, wide)), "attributes, more than 64"},
	} {
		var out alertd.Events
		problems := NewDecoder().Decode("alertd.metrics.a", nil, arrival, []byte(c.payload), &out)
		if len(problems) == 0 || len(out.Samples) > MaxEvents {
			t.Errorf("%s: %d samples, %d problems", c.name, len(out.Samples), len(problems))
			continue
		}
		if c.name == "empty points" {
			continue
		}
		if got := problems[len(problems)-1].Reason; !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// emptyPoints is a gauge of n data points of no bytes.
func emptyPoints(n int) []byte {
	wrap := func(tag byte, b []byte) []byte {
		out := []byte{tag}
		for v := len(b); ; v >>= 7 {
			if v < 0x80 {
				out = append(out, byte(v))
				break
			}
			out = append(out, byte(v)|0x80)
		}
		return append(out, b...)
	}
	name := wrap(0x0a, []byte("x"))
	return wrap(0x0a, wrap(0x12, wrap(0x12, append(name, wrap(0x2a, bytes.Repeat([]byte{0x0a, 0}, n))...))))
}

// A series whose sum was forgotten begins again; those that report go on.
func TestCountersAreBounded(t *testing.T) {
	var c counters
	steady, _ := c.get([]byte("steady"))
	forgotten, _ := c.get([]byte("forgotten"))
	steady.sum, forgotten.sum = 7, 7
	long := strings.Repeat("x", 1000)
	for i := range 100_000 {
		if i%1000 == 0 {
			c.get([]byte("steady"))
		}
		c.get(fmt.Appendf(nil, "%s-%d", long, i))
	}
	if len(c.young)+len(c.old) > 2*maxCounters/1000 {
		t.Errorf("%d counters", len(c.young)+len(c.old))
	}
	if s, fresh := c.get([]byte("steady")); fresh || s.sum != 7 {
		t.Errorf("steady: %v %v", s, fresh)
	}
	if _, fresh := c.get([]byte("forgotten")); !fresh {
		t.Error("a counter that was not used for long is still there")
	}
}

// Merging buckets while translating is the same as translating and then reducing the resolution.
func TestNativeHistogramsOfFineScale(t *testing.T) {
	point := otlpExponential(11, -700, 5000)
	fine := otlpExponential(8, 0, 0)
	want := map[int32]float64{}
	for i, n := range point.Positive.BucketCounts {
		upper := math.Ceil(float64(int64(point.Positive.Offset)+int64(i)+1) / 8)
		want[int32(upper)] += float64(n)
	}
	h, err := nativeHistogram(point)
	if err != nil || h.Schema != fine.Scale {
		t.Fatal(h, err)
	}
	total := 0.0
	for it := h.PositiveBucketIterator(); it.Next(); {
		b := it.At()
		if want[b.Index] != b.Count {
			t.Fatalf("bucket %d has %v, want %v", b.Index, b.Count, want[b.Index])
		}
		total += b.Count
	}
	if total != h.Count {
		t.Errorf("buckets hold %v of %v", total, h.Count)
	}
}

func FuzzFormats(f *testing.F) {
	gz := func(b []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		w.Write(b)
		w.Close()
		return out.Bytes()
	}
	otlp := otlpNumbers(2, 2)
	for _, seed := range []struct {
		how     byte
		payload []byte
	}{
		{0, []byte("cpu,host=a usage_user=12.5,up=t,n=3i,text=\"a\nb\" 1768473000000000000\nbroken\nmem used=1u\n")},
		{1, []byte("# TYPE a histogram\na_bucket{le=\"1\",x=\"\\\"\\n\"} 3 1768473000000\n{\"b.c\",d=\"e\"} +Inf\nbroken{\n")},
		{2, []byte("a_total{c=\"d\"} 1 1768473000.5 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 1 1\n# EOF\n")},
		{3, otlpBytes(f, otlp)},
		{4, otlpJSON(f, otlp)},
		{5, []byte(`[{"specversion":"1.0","id":"1","source":"/a","type":"alertd.metric","data":[{"name":"x","value":1},7]}]`)},
		{6, []byte(`{"labels":{"a":"b"},"message":"m"}`)},
		{7, gz([]byte("up 1\n"))},
		{8, []byte(`[[1768473000.5,{"tag":"cpu.0","cpu_p":1.5}],[1]]`)},
	} {
		f.Add(seed.how, seed.payload)
	}
	f.Fuzz(func(t *testing.T, how byte, payload []byte) {
		header := []map[string][]string{
			nil,
			{"Content-Type": {"text/plain; version=0.0.4"}},
			{"Content-Type": {"application/openmetrics-text"}},
			{"Content-Type": {"application/x-protobuf"}},
			{"Content-Type": {"application/json"}},
			{"Content-Type": {"application/cloudevents+json"}},
			{"ce-specversion": {"1.0"}, "ce-type": {"a.b"}, "ce-source": {"/a"}, "ce-id": {"1"}},
			{"Content-Encoding": {"gzip"}},
			nil,
			{"Content-Encoding": {"zstd"}},
			{"Content-Encoding": {"snappy"}},
		}[how%11]
		kept := bytes.Clone(payload)
		first := NewDecoder()
		want := run(first, "alertd.metrics.api", header, payload)
		var events alertd.Events
		problems := NewDecoder().Decode("alertd.metrics.api", header, arrival, payload, &events)
		if len(events.Samples) > MaxEvents+MaxEvents/10 {
			t.Fatalf("%d samples", len(events.Samples))
		}
		for _, s := range events.Samples {
			if s.Labels.Get(alertd.LabelMetric) == "" || s.T < 0 || s.T > arrival.Add(MaxAhead).UnixMilli() {
				t.Fatalf("%v", s)
			}
			if name, twice := s.Labels.HasDuplicateLabelNames(); twice {
				t.Fatalf("%s comes twice in %s", name, s.Labels)
			}
			if s.H != nil && s.H.Validate() != nil {
				t.Fatalf("%v", s.H)
			}
		}
		for _, p := range problems {
			if p.Reason == "" || p.Count < 1 || p.Offset < 0 {
				t.Fatalf("%+v", p)
			}
		}
		// The same again by a new decoder is the same; a warm table changes nothing but what is a sum or was there before.
		if got := run(NewDecoder(), "alertd.metrics.api", header, payload); got != want {
			t.Fatalf("first\n%s\nthen\n%s", want, got)
		}
		if cloud := len(first.seen.young) > 0 || len(first.counters.young) > 0; !cloud {
			if got := run(first, "alertd.metrics.api", header, payload); got != want {
				t.Fatalf("cold\n%s\nwarm\n%s", want, got)
			}
		}
		if !bytes.Equal(kept, payload) {
			t.Fatal("the payload was changed")
		}
	})
}
