package healthpoll

import (
	"fmt"
	"hash/fnv"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// The defaults of a target.
const (
	defaultLive         = "/health/live"
	defaultReady        = "/health/ready"
	defaultInterval     = 10 * time.Second
	defaultTimeout      = 3 * time.Second // or half the interval, if that is shorter
	defaultFall         = 3
	defaultRise         = 2
	defaultFastInterval = 2 * time.Second
)

const (
	minInterval     = time.Second
	minFastInterval = 100 * time.Millisecond
	maxThreshold    = 100
	maxService      = 128
	maxFirstWait    = 10 * time.Second // a target with a long interval is asked once soon after the start
	maxBetweenLooks = 30 * time.Second // how often a heartbeat with a long interval is told about
)

// The kinds of targets: the schemes of their URLs.
const (
	kindHTTP      = "http"
	kindHTTPS     = "https"
	kindTCP       = "tcp"
	kindTLS       = "tls"
	kindGRPC      = "grpc"
	kindGRPCS     = "grpcs"
	kindDNS       = "dns"
	kindNATS      = "nats"
	kindHeartbeat = "heartbeat"
)

// Target is a service that is asked for its health. The scheme of its URL says how:
//
//	http://HOST[:PORT][/PATH]   two pages below it, see Live and Ready; https likewise
//	tcp://HOST:PORT             whether a connection is accepted
//	tls://HOST[:PORT]           whether the certificate is good, and until when
//	grpc://HOST:PORT[/NAME]     grpc.health.v1, of the server or of the service NAME; grpcs with TLS
//	dns:NAME                    whether the name has an address; dns://SERVER[:PORT]/NAME asks that server
//	nats:SUBJECT                a request on alertd's own NATS, such as $SRV.PING.NAME
//	heartbeat:SUBJECT           whether a message comes on the subject at least once in each Interval
type Target struct {
	Service      string        // the last token of the subject, and the label service
	Environment  string        // where the service runs, such as "prod"; "" leaves it to the service
	URL          string        // see above
	Live         string        // http: path below URL, default /health/live
	Ready        string        // http: path below URL, default /health/ready
	Interval     time.Duration // how often, default 10s, at least 1s
	Timeout      time.Duration // of one question, default 3s or half the interval, shorter than the interval
	Fall         int           // misses in a row that make it unhealthy, default 3; of a heartbeat 1
	Rise         int           // good answers in a row that end unhealthy, default 2; of a heartbeat 1
	FastInterval time.Duration // between questions while a threshold is not reached, default 2s or the interval
}

// TargetError says what is wrong with a [Target].
type TargetError struct {
	Service string
	Key     string // the field, as health.yaml calls it
	Reason  string // never quotes a URL, which may hold a password
}

// Error implements error.
func (e *TargetError) Error() string {
	if e.Service == "" {
		return "a target: " + e.Reason
	}
	return "target " + e.Service + ": " + e.Reason
}

// Normalize fills in what is missing. The error is a [*TargetError] and says what is wrong with the rest.
func (t *Target) Normalize() error {
	wrong := func(key, format string, args ...any) error {
		return &TargetError{Service: t.Service, Key: key, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case t.Service == "":
		return wrong("service", "the target has no service; add service: NAME")
	case strings.ContainsFunc(t.Service, func(r rune) bool { return strings.ContainsRune(".*>", r) || unicode.IsSpace(r) || !unicode.IsPrint(r) }), len(t.Service) > maxService:
		err := wrong("service", "service %q becomes part of a NATS subject: no dots, stars, > or white space, at most %d bytes", cut(t.Service, maxService), maxService)
		t.Service = ""
		return err
	case t.Service == OwnService:
		return wrong("service", "%s is what the poller calls itself; choose another name", OwnService)
	case len(t.Environment) > maxService || strings.ContainsFunc(t.Environment, func(r rune) bool { return !unicode.IsPrint(r) }):
		return wrong("environment", "environment %q is longer than %d bytes, or cannot be printed", cut(t.Environment, maxService), maxService)
	case t.URL == "":
		return wrong("url", "the target has no url; add url: http://HOST:PORT")
	}
	if reason := t.checkURL(); reason != "" {
		return wrong("url", "%s", reason)
	}
	for _, path := range []struct {
		name, fallback string
		value          *string
	}{{"live", defaultLive, &t.Live}, {"ready", defaultReady, &t.Ready}} {
		switch {
		case !t.hasPages() && *path.value != "":
			return wrong(path.name, "%s is a page of an http or https url; this one has none", path.name)
		case !t.hasPages():
			continue
		case *path.value == "":
			*path.value = path.fallback
		}
		if !strings.HasPrefix(*path.value, "/") {
			return wrong(path.name, "%s is a path below url; write it like %s", path.name, path.fallback)
		}
	}
	if t.Interval == 0 {
		t.Interval = defaultInterval
	}
	if t.Interval < minInterval {
		return wrong("interval", "interval %s is shorter than %s", t.Interval, minInterval)
	}
	if t.Timeout == 0 {
		t.Timeout = min(defaultTimeout, t.Interval/2)
	}
	if t.Timeout < 0 || t.Timeout >= t.Interval {
		return wrong("timeout", "timeout %s is not shorter than the interval %s", t.Timeout, t.Interval)
	}
	fall, rise := defaultFall, defaultRise
	if t.kind() == kindHeartbeat { // its interval is the threshold
		fall, rise = 1, 1
	}
	for _, threshold := range []struct {
		name     string
		fallback int
		value    *int
	}{{"fall", fall, &t.Fall}, {"rise", rise, &t.Rise}} {
		if *threshold.value == 0 {
			*threshold.value = threshold.fallback
		}
		if *threshold.value < 0 || *threshold.value > maxThreshold {
			return wrong(threshold.name, "%s is %d; want 1 to %d answers in a row", threshold.name, *threshold.value, maxThreshold)
		}
	}
	if t.FastInterval == 0 {
		t.FastInterval = min(defaultFastInterval, t.Interval)
	}
	if t.FastInterval < minFastInterval || t.FastInterval > t.Interval {
		return wrong("fast_interval", "fast_interval %s is not between %s and the interval %s", t.FastInterval, minFastInterval, t.Interval)
	}
	return nil
}

// checkURL says what is wrong with the URL, "" if nothing, and makes it uniform.
func (t *Target) checkURL() string {
	switch kind, rest, _ := strings.Cut(t.URL, ":"); kind {
	case kindNATS, kindHeartbeat:
		wild := kind == kindHeartbeat
		if strings.HasPrefix(rest, "//") || !goodSubject(rest, wild) {
			more := ", without wildcards"
			if wild {
				more = ""
			}
			return fmt.Sprintf("what follows %s: is a subject%s; write it like %s:shop.orders. The connection is alertd's own", kind, more, kind)
		}
		for _, own := range []string{subjectPrefix + t.Service, subjectPrefix + OwnService, metricsSubject} {
			if wild && covers(rest, own) {
				return fmt.Sprintf("alertd itself publishes on %s, so this heart would never stop; choose the subject that the service publishes on", own)
			}
		}
		return ""
	}

	u, err := url.Parse(t.URL)
	if err != nil {
		return "the url cannot be read; write it like http://HOST:PORT"
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "the url has a query or fragment; put it into live and ready"
	}
	_, _, noPort := net.SplitHostPort(u.Host)
	path := strings.Trim(u.Path, "/")
	switch u.Scheme {
	case kindHTTP, kindHTTPS:
		if u.Hostname() == "" {
			return "the url names no host; write it like http://HOST:PORT"
		}
		t.URL = strings.TrimRight(t.URL, "/")
	case kindTCP, kindGRPC, kindGRPCS:
		if u.Hostname() == "" || noPort != nil || u.Port() == "" || path != "" && u.Scheme == kindTCP {
			return fmt.Sprintf("want a host and a port; write it like %s://HOST:PORT", u.Scheme)
		}
	case kindTLS:
		if u.Hostname() == "" || path != "" {
			return "want a host and perhaps a port; write it like tls://HOST:PORT"
		}
	case kindDNS:
		if name := u.Opaque; name == "" && (u.Host == "" || path == "") || strings.ContainsAny(name+path, "/ ") {
			return "want a name; write it like dns:NAME, or dns://SERVER/NAME to ask a server of your choice"
		}
	default:
		return "the url is none that can be asked; write http, https, tcp, tls, grpc or grpcs://HOST:PORT, dns:NAME, nats:SUBJECT or heartbeat:SUBJECT"
	}
	return ""
}

// kind is the scheme of the URL.
func (t *Target) kind() string {
	kind, _, _ := strings.Cut(t.URL, ":")
	return kind
}

// subject is what follows the scheme of nats and heartbeat.
func (t *Target) subject() string {
	_, subject, _ := strings.Cut(t.URL, ":")
	return subject
}

func (t *Target) hasPages() bool { return t.kind() == kindHTTP || t.kind() == kindHTTPS }

// overNetwork reports whether the poller itself has to get there: otherwise NATS does.
func (t *Target) overNetwork() bool { return t.kind() != kindNATS && t.kind() != kindHeartbeat }

// every is how often the target is asked, or told about.
func (t *Target) every() time.Duration {
	if t.kind() == kindHeartbeat {
		return min(t.Interval, maxBetweenLooks)
	}
	return t.Interval
}

// phase is the target's place in its interval.
func (t *Target) phase() time.Duration {
	h := fnv.New64a()
	h.Write([]byte(t.Service + "\x00" + t.URL))
	return time.Duration(h.Sum64() % uint64(min(t.every(), maxFirstWait)))
}

// goodSubject reports whether NATS would take it.
func goodSubject(s string, wild bool) bool {
	tokens := strings.Split(s, ".")
	for i, token := range tokens {
		switch {
		case token == "" || strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
			return false
		case !strings.ContainsAny(token, "*>"):
		case !wild || len(token) > 1 || token == ">" && i < len(tokens)-1:
			return false
		}
	}
	return true
}

// covers reports whether a subject with wildcards matches one without.
func covers(pattern, subject string) bool {
	want, got := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range want {
		switch {
		case token == ">":
			return len(got) > i
		case i >= len(got), token != "*" && token != got[i]:
			return false
		}
	}
	return len(want) == len(got)
}
