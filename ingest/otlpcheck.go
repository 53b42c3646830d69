package ingest

import (
	"bytes"
	"encoding/json"
	"strings"

	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"alertd"
)

// CheckOTLP looks whether payload is an ExportMetricsServiceRequest as far as its resources, in the encoding that
// the headers Content-Type and Content-Encoding name, without decoding its data points: for who takes messages on
// behalf of the stream and wants to refuse nonsense while its sender listens. service is the service.name that all
// resources have in common, or empty; n is how many resources there are. It is safe for concurrent use.
func CheckOTLP(contentType, encoding string, payload []byte) (service string, n int, err error) {
	d := Decoder{out: &alertd.Events{}}
	b := payload
	if encoding != "" {
		var ok bool
		if b, ok = d.inflate(strings.ToLower(strings.TrimSpace(encoding)), payload); !ok {
			return "", 0, faultf(0, "%s", d.problems[0].Reason)
		}
	}
	media, _ := mediaType(contentType)
	w := wire{json: media == "application/json"}
	if w.json {
		b = bytes.TrimSpace(b)
		if !json.Valid(b) {
			return "", 0, faultf(0, "the body is not JSON")
		}
		if _, depth := extent(b, 0); depth > maxDepth {
			return "", 0, faultf(0, "the body is nested more than %d deep", maxDepth)
		}
	}
	var bad *fault
	note := func(f *fault) {
		if f != nil && bad == nil {
			bad = f
		}
	}
	if w.json && len(b) == 0 {
		return "", 0, faultf(0, "the body is empty")
	}
	note(w.each(b, 0, inRequest, func(p part) {
		if p.field != 1 {
			return
		}
		n++
		own := ""
		note(w.each(p.raw, p.at, inResource, func(p part) {
			if p.field != 1 {
				return
			}
			var pb resourcepb.Resource
			if err := w.unmarshal(p.raw, &pb); err != nil {
				note(faultf(p.at, "not a resource of OTLP: %v", err))
			}
			for _, kv := range pb.Attributes {
				if kv.GetKey() == attrService {
					own = bounded(anyText(kv.GetValue()))
				}
			}
		}))
		if n == 1 {
			service = own
		} else if service != own {
			service = ""
		}
	}))
	empty := len(b) == 0 || w.json && (len(members(nil, b, 0)) == 0 || bytes.Contains(b, []byte(`"resource`)))
	switch {
	case bad != nil:
		return "", 0, bad
	case n == 0 && !empty:
		return "", 0, faultf(0, "there are no resource metrics in the body")
	}
	return service, n, nil
}
