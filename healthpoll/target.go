package healthpoll

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// The defaults of a target.
const (
	DefaultLive     = "/health/live"
	DefaultReady    = "/health/ready"
	DefaultInterval = 10 * time.Second
	DefaultTimeout  = 3 * time.Second
)

const (
	maxService   = 128
	maxFirstWait = 10 * time.Second // a target with a long interval is asked once soon after the start
)

// Target is a service that is asked for its health.
type Target struct {
	Service  string        // the last token of the subject, and the label service
	URL      string        // http or https, with a path where the pages are below one
	Live     string        // path below URL, default /health/live
	Ready    string        // path below URL, default /health/ready
	Interval time.Duration // how often, default 10s, at least 1s
	Timeout  time.Duration // for each page, default 3s, at most the interval
}

// Normalize fills in what is missing and says what is wrong with the rest.
func (t *Target) Normalize() error {
	if t.Service == "" {
		return errors.New("a target has no service; add its name")
	}
	if strings.ContainsFunc(t.Service, func(r rune) bool { return strings.ContainsRune(".*>", r) || unicode.IsSpace(r) || !unicode.IsPrint(r) }) || len(t.Service) > maxService {
		return fmt.Errorf("service %q becomes part of a NATS subject: no dots, stars, > or white space, at most %d bytes", t.Service, maxService)
	}
	u, err := url.Parse(t.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("target %s: the url is not an http or https URL; write it like http://HOST:PORT", t.Service)
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("target %s: the url has a query or fragment; put it into live and ready", t.Service)
	}
	t.URL = strings.TrimRight(t.URL, "/")
	for _, path := range []struct {
		name, fallback string
		value          *string
	}{{"live", DefaultLive, &t.Live}, {"ready", DefaultReady, &t.Ready}} {
		if *path.value == "" {
			*path.value = path.fallback
		}
		if !strings.HasPrefix(*path.value, "/") {
			return fmt.Errorf("target %s: %s is a path below the url; write it like %s", t.Service, path.name, path.fallback)
		}
	}
	if t.Interval == 0 {
		t.Interval = DefaultInterval
	}
	if t.Interval < time.Second {
		return fmt.Errorf("target %s: the interval %s is shorter than 1s", t.Service, t.Interval)
	}
	if t.Timeout == 0 {
		t.Timeout = min(DefaultTimeout, t.Interval)
	}
	if t.Timeout < 0 || t.Timeout > t.Interval {
		return fmt.Errorf("target %s: the timeout %s is not between 0 and the interval %s", t.Service, t.Timeout, t.Interval)
	}
	return nil
}

// phase is the target's place in its interval.
func (t Target) phase() time.Duration {
	h := fnv.New64a()
	h.Write([]byte(t.Service + "\x00" + t.URL))
	return time.Duration(h.Sum64() % uint64(min(t.Interval, maxFirstWait)))
}
