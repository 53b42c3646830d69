package amapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Bounds of a request's body. A Prometheus posts at most 256 alerts at once, some 200 KiB.
const (
	maxAlertsBody  = 16 << 20
	maxSilenceBody = 64 << 10
	maxFaults      = 20 // told of in one answer
)

func (a *api) postAlerts(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, maxAlertsBody)
	if err != nil {
		return err
	}
	alerts, faults, err := decodeAlerts(body)
	if err != nil {
		return err
	}
	if len(alerts) > 0 {
		if err := a.o.State.Post(r.Context(), alerts); err != nil {
			return err
		}
	}
	if len(faults) > 0 {
		f := join(faults)
		a.o.Invalid(len(faults))
		a.o.Log.Warn("alerts that were posted make no sense", "stored", len(alerts), "refused", len(faults), "why", f.text)
		return f
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// join makes one answer of many: the status is that of the first.
func join(faults []*failure) *failure {
	if len(faults) == 1 {
		return faults[0]
	}
	told := make([]string, 0, maxFaults+1)
	for _, f := range faults[:min(len(faults), maxFaults)] {
		told = append(told, f.text)
	}
	if more := len(faults) - len(told); more > 0 {
		told = append(told, fmt.Sprintf("and %d more", more))
	}
	return &failure{faults[0].status, faults[0].code, strings.Join(told, "\n")}
}

// readBody reads a JSON body. Only if it says that it is one: a page of another site can make a browser send text, but
// not JSON.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, refused(http.StatusUnsupportedMediaType, "unsupported media type %q, only [application/json] are allowed", r.Header.Get("Content-Type"))
	}
	// A length that is told saves growing; one that lies costs no more than the limit.
	body := make([]byte, 0, min(max(r.ContentLength, 0), limit)+512)
	in := http.MaxBytesReader(w, r.Body, limit)
	for {
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				return nil, refused(http.StatusRequestEntityTooLarge, "the body is larger than %d KiB; send less at once", limit>>10)
			}
			return nil, refused(http.StatusBadRequest, "reading the body failed: %v", err)
		case len(body) == cap(body):
			body = append(body, 0)[:len(body)]
		}
	}
}
