package ingest

import (
	"bytes"
	"testing"

	"alertd"
)

// What comes over OTLP/HTTP from anywhere is judged without a panic and the same each time, and what is refused at the door, the decoder behind
// it would not have taken whole either.
func FuzzCheckOTLP(f *testing.F) {
	metrics := otlpNumbers(2, 2)
	f.Add(false, otlpBytes(f, metrics))
	f.Add(true, otlpJSON(f, metrics))
	f.Add(true, []byte(`{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"api"}}]}}]}`))
	f.Add(true, []byte(`{}`))
	f.Add(false, []byte{0x0a, 0xff})
	f.Fuzz(func(t *testing.T, asJSON bool, payload []byte) {
		media := "application/x-protobuf"
		if asJSON {
			media = "application/json"
		}
		kept := bytes.Clone(payload)
		service, n, err := CheckOTLP(media, "", payload)
		again, m, err2 := CheckOTLP(media, "", payload)
		if service != again || n != m || (err == nil) != (err2 == nil) {
			t.Fatalf("%q, %d, %v and then %q, %d, %v", service, n, err, again, m, err2)
		}
		if !bytes.Equal(kept, payload) {
			t.Fatal("the payload was changed")
		}
		for _, encoding := range []string{"gzip", "zstd", "snappy"} {
			_, _, _ = CheckOTLP(media, encoding, payload)
		}
		if err == nil || asJSON { // JSON that is not OTLP may be another format
			return
		}
		var events alertd.Events
		if problems := NewDecoder().Decode("alertd.metrics.api", map[string][]string{"Content-Type": {media}}, arrival, payload, &events); len(problems) == 0 {
			t.Errorf("refused with %v, but decoded to %d samples", err, len(events.Samples))
		}
	})
}
