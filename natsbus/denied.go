package natsbus

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// What alertd's user has to be allowed on somebody else's server. docs/operating.md has the same as a configuration.
var (
	publishes  = []string{"alertd.>", "$JS.API.>", "$JS.ACK.>", "$KV.ALERTD_LEASE.>", "$O.ALERTD_SNAPSHOTS.>", "$SRV.>", "_INBOX.>"}
	subscribes = []string{"alertd.>", "$SRV.>", "_INBOX.>"}
)

// deniedFor is how long a refused publish is remembered: alertd tries what it needs more often. A subscription that was refused is
// not tried again, and is remembered as long as the connection stands.
const deniedFor = time.Minute

// denials are the subjects that the server does not let us use. A forbidden request gets no answer, only a complaint on the side, so
// whoever sent it sees no more than a time-out.
type denials struct {
	mu   sync.Mutex
	seen map[denial]time.Time // when last
	told func(error)          // of the next one; see EnsureStreams
}

// denial is one sort of them.
type denial struct {
	action  string // what we may not do
	subject string // as it has to be allowed
}

// message is how the client library repeats a complaint of the server.
var message = regexp.MustCompile(`Permissions Violation for (Publish|Subscription) to "([^"]+)"`)

// note remembers a complaint and reports whether it is a new one.
func (d *denials) note(err error, now time.Time) (denial, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told != nil {
		d.told(err)
	}
	of := denial{action: "use some subject"}
	if m := message.FindStringSubmatch(err.Error()); m != nil {
		of.action, of.subject = "publish to", pattern(publishes, m[2])
		if m[1] == "Subscription" {
			of.action, of.subject = "subscribe to", pattern(subscribes, m[2])
		}
	}
	last, known := d.seen[of]
	if d.seen == nil {
		d.seen = map[denial]time.Time{}
	}
	d.seen[of] = now
	return of, !known || now.Sub(last) > deniedFor
}

// pattern is what to allow for a subject: the subject, or what covers it where it has tokens that are made up at the moment.
func pattern(of []string, subject string) string {
	for _, p := range slices.Concat([]string{MetricsPrefix + ">", HealthPrefix + ">", EventsPrefix + ">"}, of) {
		if p != "alertd.>" && strings.HasPrefix(subject, strings.TrimSuffix(p, ">")) {
			return p
		}
	}
	return subject
}

// err says what is denied; nil if nothing is.
func (d *denials) err(now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var which []denial
	for of, last := range d.seen {
		if of.action == "subscribe to" || now.Sub(last) <= deniedFor {
			which = append(which, of)
		}
	}
	slices.SortFunc(which, func(a, b denial) int {
		return cmp.Or(cmp.Compare(a.action, b.action), cmp.Compare(a.subject, b.subject))
	})
	var errs []error
	for _, of := range which {
		errs = append(errs, of)
	}
	return errors.Join(errs...)
}

// Error says what to allow.
func (d denial) Error() string {
	return fmt.Sprintf("NATS does not let this user %s %s; allow it in the server's configuration", d.action, d.subject)
}

// forget is for a new connection, which may be another user's.
func (d *denials) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.seen)
}

// watch has f told of complaints; nil ends that.
func (d *denials) watch(f func(error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = f
}

// Denied says which subjects the server does not let alertd use, and so what does not work; nil if it has complained of none lately. Only
// its complaints tell, and they come when a subject is used.
func (b *Bus) Denied() error { return b.denials.err(time.Now()) }

// onError hears what no call can return: the server's complaints that belong to no request.
func (b *Bus) onError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		if of, fresh := b.denials.note(err, time.Now()); fresh {
			b.log.Error("NATS refuses a subject", "error", err, "fix", of.Error())
		}
		return
	}
	attrs := []any{"error", err}
	if sub != nil {
		attrs = append(attrs, "subject", sub.Subject)
	}
	b.log.Warn("NATS error", attrs...)
}
