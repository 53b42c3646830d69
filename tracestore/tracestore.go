// Package tracestore asks a tracing back-end, Tempo or Jaeger, whether it has a trace, and for its spans.
//
// What a back-end does is bounded in time and in size, so that whoever asks can go on without an answer.
package tracestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"alertd"
	"alertd/tracectx"
)

// The kinds of back-ends that can be asked.
const (
	Jaeger = "jaeger"
	Tempo  = "tempo"
)

// Kinds are the back-ends that can be asked.
func Kinds() []string { return []string{Jaeger, Tempo} }

const (
	// timeout is how long one question may take, fallbacks included.
	timeout = 2 * time.Second
	// maxBody bounds an answer.
	maxBody = 8 << 20
	// before and after an event is looked for its trace: a back-end searches less that way.
	margin = time.Hour
)

// Config says where a back-end is.
type Config struct {
	Kind   string       // Jaeger or Tempo
	URL    string       // of its query API, without a path of it: http://tempo:3200, http://jaeger:16686
	OrgID  string       // Tempo: the tenant, header X-Scope-OrgID; "" sends none
	Client *http.Client // knows the credentials and whom it may call; nil: http.DefaultClient
}

// Store is a back-end. It is safe for concurrent use.
type Store struct {
	cfg  Config
	base string
	apis []api // in the order in which they are tried
}

// api is one form in which a back-end can be asked.
type api struct {
	path   func(id string, from, to time.Time) string
	decode func([]byte) (tracectx.Trace, error)
}

// New checks the configuration. Nothing is asked yet.
func New(c Config) (*Store, error) {
	u, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("url: want http://HOST:PORT, without a user, ? or #")
	}
	s := &Store{cfg: c, base: u.String()}
	switch c.Kind {
	case Tempo:
		s.apis = []api{{tempo("/api/v2/traces/"), tracectx.DecodeOTLP}, {tempo("/api/traces/"), tracectx.DecodeOTLP}}
	case Jaeger:
		s.apis = []api{{jaegerV3, tracectx.DecodeOTLP}, {jaegerLegacy, tracectx.DecodeJaeger}}
	default:
		return nil, fmt.Errorf("kind %q is none of %s", c.Kind, strings.Join(Kinds(), ", "))
	}
	if c.Client == nil {
		s.cfg.Client = http.DefaultClient
	}
	return s, nil
}

func tempo(path string) func(string, time.Time, time.Time) string {
	return func(id string, from, to time.Time) string {
		return path + id + "?start=" + strconv.FormatInt(from.Unix(), 10) + "&end=" + strconv.FormatInt(to.Unix(), 10)
	}
}

func jaegerV3(id string, from, to time.Time) string {
	q := url.Values{"startTime": {from.UTC().Format(time.RFC3339Nano)}, "endTime": {to.UTC().Format(time.RFC3339Nano)}}
	return "/api/v3/traces/" + id + "?" + q.Encode()
}

func jaegerLegacy(id string, _, _ time.Time) string { return "/api/traces/" + id }

// Trace returns the trace that an event of the given instant came from, within two seconds. The error is
// [tracectx.ErrNoTrace] if the back-end answers that it does not have it, or has nothing of it but alertd's own spans; any other means that it cannot be told.
func (s *Store) Trace(ctx context.Context, ref alertd.TraceRef, at time.Time) (tracectx.Trace, error) {
	if tracectx.Valid(ref.TraceID, "").IsZero() { // it becomes part of a URL
		return tracectx.Trace{}, tracectx.ErrNoTrace
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// An older back-end does not know the newer address, and says the same as if it did not have the trace.
	for _, a := range s.apis {
		t, err := s.ask(ctx, a, s.base+a.path(ref.TraceID, at.Add(-margin), at.Add(margin)))
		switch {
		case errors.Is(err, tracectx.ErrNoTrace):
			continue
		case err != nil:
			return t, fmt.Errorf("%s: %w", s.cfg.Kind, err)
		}
		t.ID = ref.TraceID
		return t, nil
	}
	return tracectx.Trace{}, tracectx.ErrNoTrace
}

func (s *Store) ask(ctx context.Context, a api, address string) (tracectx.Trace, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return tracectx.Trace{}, errors.New("the address cannot be made")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "alertd")
	if s.cfg.OrgID != "" {
		req.Header.Set("X-Scope-OrgID", s.cfg.OrgID)
	}
	resp, err := s.cfg.Client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL
		}
		return tracectx.Trace{}, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return tracectx.Trace{}, tracectx.ErrNoTrace
	case resp.StatusCode != http.StatusOK:
		return tracectx.Trace{}, fmt.Errorf("it answers %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return tracectx.Trace{}, fmt.Errorf("its answer broke off: %w", err)
	case len(body) > maxBody:
		return tracectx.Trace{}, fmt.Errorf("the trace is larger than %d MiB", maxBody>>20)
	}
	t, err := a.decode(body)
	if err == nil && t.Echo() {
		return tracectx.Trace{}, tracectx.ErrNoTrace
	}
	return t, err
}
