package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"alertd/e2e"
)

// TestKill ends the daemon by SIGKILL again and again, at random moments, also while it starts, while alerts fire and
// resolve. In the end every transition has been told, and each under one webhook-id with one content.
func TestKill(t *testing.T) {
	t.Run("embedded NATS", func(t *testing.T) { testKill(t, 24, "") })
	t.Run("other NATS", func(t *testing.T) { testKill(t, 8, startNATS(t)) })
}

func testKill(t *testing.T, kills int, natsURL string) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	w := newWorld(t, shop, func(o *e2e.Options) { o.NATS = natsURL })
	w.sink.AnswerWith(func(e2e.Page) int { // slow enough that many deliveries are under way at any moment
		time.Sleep(rand.N(100 * time.Millisecond))
		return http.StatusOK
	})

	var enough atomic.Bool
	var wg sync.WaitGroup
	const workers = 32
	told := make([]int, workers) // services of each worker that fired and resolved
	errs := make([]error, workers)
	for i := range workers {
		wg.Go(func() {
			for ; !enough.Load() && errs[i] == nil; told[i]++ {
				errs[i] = w.breakAndRepair(t.Context(), fmt.Sprintf("s%d-%d", i, told[i]))
			}
		})
	}
	for n := range kills {
		if n%4 == 3 { // in the middle of a start
			w.kill()
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(600))*time.Millisecond)
			d, err := e2e.Start(ctx, w.opts)
			cancel()
			if err == nil {
				d.Kill()
			}
		} else {
			time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
			w.kill()
		}
		w.start()
	}
	enough.Store(true)
	wg.Wait()
	total := 0
	for i, err := range errs {
		if err != nil {
			t.Errorf("worker %d: %v", i, err)
		}
		total += told[i]
	}
	if t.Failed() {
		t.Fatalf("log of the last daemon:\n%s", w.daemon.Log())
	}
	if total < workers {
		t.Errorf("only %d alerts fired and resolved: too few to say anything", total)
	}
	changes := w.history(func(ts []transition) bool { return len(ts) > 0 }, "--all", "--since", "1h")
	w.stop()
	t.Logf("%d kills, %d alerts, %d transitions in history", kills, total, len(changes))

	checkToldOnce(t, w.sink, told)
	counts := map[[2]string]int{}
	for _, c := range changes {
		counts[[2]string{c.Service, c.To}]++
	}
	for key, n := range counts {
		if n != 1 {
			t.Errorf("history has %d transitions of %s to %s", n, key[0], key[1])
		}
	}
}

// breakAndRepair makes an alert fire, waits for its page, resolves it and waits for that page.
func (w *world) breakAndRepair(ctx context.Context, service string) error {
	for _, step := range []struct {
		value  float64
		status string
	}{{1, "firing"}, {0, "resolved"}} {
		msg := nats.NewMsg("alertd.metrics." + service)
		msg.Data = []byte(metricBody("broken", service, step.value))
		if err := publish(ctx, w.js, msg); err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, patience)
		_, err := w.sink.Wait(wait, func(p e2e.Page) bool { return p.Tells("Broken", service, step.status) })
		cancel()
		if err != nil {
			return fmt.Errorf("%s was not told as %s: %w", service, step.status, err)
		}
	}
	return nil
}

// checkToldOnce reads what the webhook got: every alert told as firing and as resolved under one id each, and every id
// with one content however often it came.
func checkToldOnce(t *testing.T, sink *e2e.Sink, told []int) {
	t.Helper()
	pages, wrong := sink.Pages()
	for _, err := range wrong {
		t.Errorf("a delivery made no sense: %v", err)
	}
	bodies := map[string]string{}
	again := 0
	for _, p := range pages {
		if body, known := bodies[p.ID]; known {
			again++
			if body != p.Body {
				t.Errorf("webhook-id %s came with two contents:\n%s\n%s", p.ID, body, p.Body)
			}
		}
		bodies[p.ID] = p.Body
	}
	t.Logf("%d pages, %d of them delivered again under the same webhook-id", len(pages), again)
	for worker, n := range told {
		for i := range n {
			service := fmt.Sprintf("s%d-%d", worker, i)
			for _, status := range []string{"firing", "resolved"} {
				ids := map[string]bool{}
				for _, p := range pages {
					if p.Tells("Broken", service, status) {
						ids[p.ID] = true
					}
				}
				if len(ids) != 1 {
					t.Errorf("%s was told as %s under %d webhook-ids: %v", service, status, len(ids), ids)
				}
			}
		}
	}
}
