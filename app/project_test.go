package app

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestHistoryIsAbreast: what is in the journal is in the next answer of the history, though it is written four times a second, and
// an answer does not wait for that.
func TestHistoryIsAbreast(t *testing.T) {
	a := newQuiet(t, Options{})
	a.projected.patience = time.Minute // machines that run tests are busy
	runs(t, a)
	waitFor(t, "leading", a.leading.now)
	started := time.Now()
	const alerts = 40
	for i := range alerts {
		body := fmt.Sprintf(`[{"labels":{"alertname":"Posted","service":"s%d","severity":"info"}}]`, i)
		resp, err := http.Post("http://"+a.HTTP()+"/api/v2/alerts", "application/json", strings.NewReader(body))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
		if resp, err = http.Get("http://" + a.HTTP() + "/api/v1/history?limit=1"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(answer), fmt.Sprintf(`"s%d"`, i)) {
			t.Fatalf("alert %d is posted, and the history has: %s %v", i, answer, err)
		}
	}
	t.Logf("%s for each", time.Since(started)/alerts)
}

// TestBehind: a history that catches up lacks what was decided since the oldest commit that it is writing; what comes after a quiet
// hour is of now.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProjection()
		p.begin(clock().Add(-time.Hour))
		p.reached(7)
		time.Sleep(time.Hour)
		if got := p.behind(clock(), 7); got != 0 {
			t.Errorf("abreast, and %s behind", got)
		}
		if got := p.behind(clock(), 8); got <= 0 || got > time.Millisecond {
			t.Errorf("%s behind, and it has just been decided", got)
		}
		p.begin(clock())
		time.Sleep(20 * time.Second)
		if got := p.behind(clock(), 9); got != 20*time.Second {
			t.Errorf("%s behind", got)
		}
	})
}
