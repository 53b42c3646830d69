package history

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// stormCommit is what the loop writes in a storm: forty posted alerts that begin, each of them in a group that is told of before
// and tells again.
func stormCommit(seq uint64) Record {
	const alerts = 40
	r := record(seq)
	at := epoch.Add(time.Duration(seq) * 2 * time.Millisecond)
	r.Commit.Time = at
	for i := range alerts {
		n := int(seq)*alerts + i
		service := "svc-" + strconv.Itoa(n%1000)
		ls := labels.FromStrings("alertname", "Bulk", "cluster", "eu-central-1", "instance", fmt.Sprintf("10.0.%d.%d:9100", n>>8, n&255), "job", "node",
			"pod", fmt.Sprintf("%s-7c9f6d5b8-x%d", service, n), "service", service, "severity", "critical")
		a := alertd.Alert{
			Fingerprint: alertd.FingerprintOf(ls), Rule: alertd.RulePosted, Labels: ls, State: alertd.Firing, ActiveAt: at, FiredAt: at, At: at,
			Annotations: labels.FromStrings("description", "The error rate has been above five percent for ten minutes, the budget of the month is gone in an hour.",
				"runbook_url", "https://runbooks.example.com/instance-down", "summary", fmt.Sprintf("instance %d of %s does not answer", n, service)),
			RunbookURL: "https://runbooks.example.com/instance-down", GeneratorURL: "http://prometheus.example.com:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
		}
		group := alertd.GroupKey(fmt.Sprintf(`{}:{alertname="Bulk", service="%s"}`, service))
		r.Commit.Entries = append(
			r.Commit.Entries, turned(a, alertd.Inactive, alertd.ReasonTrue, at),
			alertd.Entry{Time: at, Joined: &alertd.Joined{
				Fingerprint: a.Fingerprint, Group: group, GroupLabels: ls, Route: "{}", Receiver: "nobody", Delivery: alertd.Immediate,
			}},
			alertd.Entry{Time: at, Withheld: &alertd.Withheld{
				Fingerprint: a.Fingerprint, Group: group, Receiver: "nobody", Reason: alertd.ReasonGrouped, Until: at.Add(time.Second),
			}},
			alertd.Entry{Time: at, Flushed: &alertd.Flushed{Group: group, Told: []alertd.Fingerprint{a.Fingerprint}, Spoke: true}},
			alertd.Entry{Time: at, Withheld: &alertd.Withheld{
				Fingerprint: a.Fingerprint, Group: group, Receiver: "nobody", Reason: alertd.ReasonNoDestination,
			}},
		)
	}
	return r
}

// BenchmarkStorm is what an alert of a storm costs the history, by how many commits go into a transaction. Others use the machine
// too, so the time of the cores is told beside that of the wall.
func BenchmarkStorm(b *testing.B) {
	for _, commits := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(commits, "-commits"), func(b *testing.B) {
			s := fresh(b)
			var seq uint64
			var cores time.Duration
			for b.Loop() {
				b.StopTimer()
				batch := make([]Record, commits)
				for i := range batch {
					seq++
					batch[i] = stormCommit(seq)
				}
				began := coreTime(b)
				b.StartTimer()
				if err := s.Apply(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				cores += coreTime(b) - began
				b.StartTimer()
			}
			alerts := float64(seq) * 40
			b.ReportMetric(float64(cores.Nanoseconds())/1000/alerts, "core-µs/alert")
			b.ReportMetric(alerts, "alerts")
		})
	}
}

// coreTime is what this process has used of all cores.
func coreTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
