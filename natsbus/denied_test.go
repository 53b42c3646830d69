package natsbus

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A subject that the server refuses is named, with what to allow, until it is used without complaint for a while.
func TestDeniedNamesTheSubject(t *testing.T) {
	url := foreign(t, server.Options{Users: []*server.User{{Username: "alertd", Password: "s3cret", Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Deny: []string{JournalSubject, "$O.ALERTD_SNAPSHOTS.>"}},
		Subscribe: &server.SubjectPermission{Deny: []string{"$SRV.>"}},
	}}}})
	b := open(t, Options{URL: strings.Replace(url, "://", "://alertd:s3cret@", 1)})
	if err := b.Denied(); err != nil {
		t.Errorf("nothing was tried, denied is %v", err)
	}
	for _, subject := range []string{JournalSubject, "$O.ALERTD_SNAPSHOTS.C.one", "$O.ALERTD_SNAPSHOTS.C.two", MetricsSubject("api")} {
		if err := b.Conn().Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Conn().SubscribeSync("$SRV.PING"); err != nil {
		t.Fatal(err)
	}
	const want = `NATS does not let this user publish to $O.ALERTD_SNAPSHOTS.>; allow it in the server's configuration
NATS does not let this user publish to alertd.journal; allow it in the server's configuration
NATS does not let this user subscribe to $SRV.>; allow it in the server's configuration`
	var got error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) { // complaints come on the side
		if got = b.Denied(); got != nil && got.Error() == want {
			break
		}
	}
	if got == nil || got.Error() != want {
		t.Errorf("denied:\n%v\nwant:\n%s", got, want)
	}
	if later := b.denials.err(time.Now().Add(time.Hour)); later == nil || later.Error() != "NATS does not let this user subscribe to $SRV.>; allow it in the server's configuration" {
		t.Errorf("after an hour of no complaint denied is %v", later)
	}
}

// A server's complaint in words that are not known yet is kept, and no two of one subject are told at once.
func TestDenialsAreToldOnce(t *testing.T) {
	var d denials
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		err   string
		after time.Duration
		fresh bool
	}{
		{`Permissions Violation for Publish to "alertd.journal"`, 0, true},
		{`Permissions Violation for Publish to "alertd.journal"`, time.Second, false},
		{`Permissions Violation for Subscription to "alertd.leader.http"`, time.Second, true},
		{`Permissions Violation for Publish to "other.subject"`, time.Second, true},
		{`you may not`, time.Second, true},
		{`Permissions Violation for Publish to "alertd.journal"`, time.Hour, true},
	} {
		if _, fresh := d.note(errors.New(c.err), now.Add(c.after)); fresh != c.fresh {
			t.Errorf("%d: %s: fresh %t", i, c.err, fresh)
		}
	}
	if err := d.err(now.Add(time.Second)); !strings.Contains(err.Error(), "publish to other.subject") || !strings.Contains(err.Error(), "use some subject") {
		t.Errorf("denied: %v", err)
	}
	d.forget()
	if err := d.err(now); err != nil {
		t.Errorf("after a new connection denied is %v", err)
	}
}
