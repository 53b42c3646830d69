package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHistoryIsAbreast: what is in the journal is in the next answer of the history, though it is written four times a second, and
// an answer does not wait for that.
func TestHistoryIsAbreast(t *testing.T) {
	s := newSink(t)
	a := quiet(t, files(s.URL))
	started := time.Now()
	const alerts = 40
	for i := range alerts {
		body := fmt.Sprintf(`[{"labels":{"alertname":"Posted","service":"s%d","severity":"info"}}]`, i)
		resp, err := http.Post("http://"+a.HTTP()+"/api/v2/alerts", "application/json", strings.NewReader(body))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
		if _, body := get(t, a, "/api/v1/history?limit=1"); !strings.Contains(body, fmt.Sprintf(`"s%d"`, i)) {
			t.Fatalf("alert %d is posted, and the history has: %s", i, body)
		}
	}
	t.Logf("%s for each", time.Since(started)/alerts)
}
