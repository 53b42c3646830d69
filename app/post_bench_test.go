package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"alertd/app"
)

// BenchmarkPosted is the whole way of a new alert that Prometheus posts, in batches of a thousand and a hundred alerts a
// group: HTTP, decoding, deciding, journal and history.
func BenchmarkPosted(b *testing.B) {
	a, err := app.New(b.Context(), app.Options{
		Rules: fstest.MapFS{"routing.yaml": {Data: []byte("route: {receiver: nobody, group_by: [alertname, service], group_wait: 0s}\nreceivers: [{name: nobody}]\n")}},
		Data:  b.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard,
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() {
		cancel()
		<-done
		if err := a.Close(context.Background()); err != nil {
			b.Error(err)
		}
	}()
	const batch = 1000
	n := 0
	for b.Loop() {
		var body strings.Builder
		body.WriteByte('[')
		for i := range batch {
			if i > 0 {
				body.WriteByte(',')
			}
			fmt.Fprintf(&body, `{"labels":{"alertname":"Bulk","service":"svc-%d","severity":"critical","instance":"10.0.0.%d:9100","job":"node","cluster":"eu-central-1","pod":"svc-7c9f6d5b8-x%d"},`+
				`"annotations":{"summary":"instance %d does not answer","description":"The error rate has been above five percent for ten minutes, the budget of the month is gone in an hour."},`+
				`"generatorURL":"http://prometheus.example.com:9090/graph?g0.expr=up"}`, n/100, n, n, n)
			n++
		}
		body.WriteByte(']')
		for {
			resp, err := http.Post("http://"+a.HTTP()+"/api/v2/alerts", "application/json", strings.NewReader(body.String()))
			if err != nil {
				b.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
			if resp.StatusCode != http.StatusServiceUnavailable || n > batch { // it may not lead yet
				b.Fatal(resp.Status, string(text))
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "alerts/s")
}
