package history

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"alertd"
)

func TestWhy(t *testing.T) {
	s := fresh(t)
	apply(t, s, story()...)
	down := alert("ApplicationDown", "db", "critical", alertd.Firing, epoch)
	disk := alert("DiskFull", "db", "warning", alertd.Firing, epoch)
	apply(t, s, record(11,
		turned(down, alertd.Inactive, alertd.ReasonTrue, epoch.Add(time.Minute)),
		alertd.Entry{Time: epoch.Add(2 * time.Hour), Policy: &alertd.PolicySet{Version: "def"}},
		alertd.Entry{Time: epoch.Add(2 * time.Hour), Withheld: &alertd.Withheld{
			Fingerprint: disk.Fingerprint, Group: "{}:{}", Receiver: "ops", Reason: alertd.ReasonInhibited, By: down.Fingerprint.String(),
		}},
	))

	for _, tt := range []struct {
		name string
		q    Question
		want []string // alert: steps
	}{
		{"by name", Question{Alert: "HighErrorRate"}, []string{
			"HighErrorRate: abc transition firing|abc joined|abc told|abc planned ops/slack/0|abc attempt ops/slack/0 retry|abc attempt ops/slack/0 delivered|abc transition resolved",
		}},
		{"by fingerprint", Question{Fingerprint: disk.Fingerprint.String()}, []string{
			"DiskFull: abc transition firing|abc withheld held by office|def withheld inhibited by ApplicationDown",
		}},
		{"by service and name", Question{Alert: "HighErrorRate", Service: "db"}, nil},
		{"by group", Question{Group: `{}:{service="checkout"}`}, []string{
			"HighErrorRate: abc transition firing|abc joined|abc told|abc planned ops/slack/0|abc attempt ops/slack/0 retry|abc attempt ops/slack/0 delivered|abc transition resolved",
		}},
		{"by time", Question{Since: epoch.Add(30 * time.Second), Until: epoch.Add(5 * time.Minute)}, []string{
			"ApplicationDown: abc transition firing",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chains, err := s.Why(t.Context(), tt.q)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range chains {
				got = append(got, c.Alert+": "+inShort(c.Steps))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
	for _, q := range []Question{{}, {Service: "db"}, {Fingerprint: "nonsense"}} {
		if _, err := s.Why(t.Context(), q); !errors.Is(err, ErrFilter) {
			t.Errorf("%+v: %v, want ErrFilter", q, err)
		}
	}
}

func inShort(steps []Step) string {
	var out []string
	for _, s := range steps {
		text := fmt.Sprint(s.Config, " ", s.Kind)
		switch s.Kind {
		case KindTransition:
			text += " " + s.To
		case KindWithheld:
			by := s.By
			if s.ByAlert != "" {
				by = s.ByAlert
			}
			text += " " + s.Reason + " by " + by
		case KindPlanned:
			text += " " + s.Receiver
		case KindAttempt:
			text += " " + s.Receiver + " " + s.To
		}
		out = append(out, text)
	}
	return strings.Join(out, "|")
}
