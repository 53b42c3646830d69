package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"alertd/healthpoll"
)

// These measure the health poller, in this process, against endpoints in another one; and Debian's blackbox exporter on
// the same endpoints, where it is installed.

const (
	healthTargets  = 10_000
	healthInterval = 10 * time.Second
	healthWarm     = 12 * time.Second // until every endpoint has its connection
	healthSpan     = 20 * time.Second
	blackbox       = "prometheus-blackbox-exporter"
	blackboxSpan   = 5 * time.Second
	blackboxAtOnce = 16
)

// healthPolls runs the poller over as many endpoints as the goal says, each over a connection of its own.
func healthPolls(ctx context.Context, _ *bench) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	address, stop, err := startEndpoints(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	out, err := pollAll(ctx, address)
	if err != nil {
		return out, err
	}
	other, err := probeByBlackbox(ctx, address)
	return append(out, other), err
}

// serveEndpoints is the other process: it answers as a healthy service does, until nobody holds its input any more.
func serveEndpoints(in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	const body = `{"status":"healthy","checks":{"database":{"status":"healthy","latency_ms":5},"queue":{"status":"healthy","latency_ms":2}}}`
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body) // who asked may have gone
	})}
	fmt.Fprintln(out, l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = s.Close()
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func startEndpoints(ctx context.Context) (address string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-endpoints")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the endpoints did not start: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

// pollAll counts events, lateness and processor time once all connections are there.
func pollAll(ctx context.Context, address string) ([]result, error) {
	n := healthTargets
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		n = min(n, int(min(files.Cur, 1<<20))-500)
	}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 1, IdleConnTimeout: 5 * healthInterval, ReadBufferSize: 2 << 10, WriteBufferSize: 1 << 10,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
	targets := make([]healthpoll.Target, n)
	for i := range targets {
		targets[i] = healthpoll.Target{Service: fmt.Sprint("s", i), URL: fmt.Sprint("http://h", i), Interval: healthInterval}
	}
	var events, unwell atomic.Int64
	var lag atomic.Int64 // microseconds
	p := healthpoll.New(targets, func(_ context.Context, subject string, payload []byte) error {
		if strings.HasPrefix(subject, "alertd.health.") {
			events.Add(1)
			if !strings.Contains(string(payload), `"status":"healthy","checks"`) {
				unwell.Add(1)
			}
			return nil
		}
		var ms []struct {
			Name  string  `json:"name"`
			Value float64 `json:"value"`
		}
		if err := json.Unmarshal(payload, &ms); err != nil {
			return err
		}
		for _, m := range ms {
			if m.Name == healthpoll.MetricMaxLag {
				lag.Store(max(lag.Load(), int64(m.Value*1e6)))
			}
		}
		return nil
	}, healthpoll.Options{Client: client})
	ctx, cancel := context.WithTimeout(ctx, healthWarm+healthSpan)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	select {
	case err := <-done:
		return nil, err
	case <-time.After(healthWarm):
	}
	debug.FreeOSMemory() // what starting took is not what running takes
	before, err := coreTime()
	if err != nil {
		return nil, err
	}
	from, began := events.Load(), time.Now()
	lag.Store(0)
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	after, err := coreTime()
	if err != nil {
		return nil, err
	}
	used, got, took := after-before, float64(events.Load()-from), time.Since(began)
	if bad := unwell.Load(); bad > 0 {
		return nil, fmt.Errorf("%d answers were not taken for healthy", bad)
	}
	share := 100 * used.Seconds() / took.Seconds()
	note := fmt.Sprintf("%s endpoints at %s, two pages each, connections kept, events published", short(float64(n)), healthInterval)
	return []result{
		{Name: "health endpoints asked", Value: got / took.Seconds(), Unit: "endpoints/s", Goal: float64(n) / healthInterval.Seconds(), Note: note},
		{Name: "health endpoints, lag", Value: float64(lag.Load()) / 1000, Unit: "ms", Note: "the latest question of all"},
		{Name: "health endpoints, processor", Value: share, Unit: "% of a core", Goal: 100, Note: "of the poller"},
		{Name: "health endpoints a core", Value: got / used.Seconds(), Unit: "endpoints/s", Note: "alertd, of the poller's processor time"},
	}, nil
}

// probeByBlackbox asks the exporter as fast as it answers, and divides by the processor time that it took.
func probeByBlackbox(ctx context.Context, address string) (result, error) {
	row := result{Name: "the same by " + blackbox, Unit: "endpoints/s", Note: "a core, of the exporter's processor time; one page each"}
	path, err := exec.LookPath(blackbox)
	if err != nil {
		row.Error = "not installed"
		return row, nil
	}
	dir, err := os.MkdirTemp("", "alertd-bench-blackbox-")
	if err != nil {
		return row, err
	}
	defer os.RemoveAll(dir)
	config := filepath.Join(dir, "blackbox.yml")
	if err := os.WriteFile(config, []byte("modules: {http_2xx: {prober: http, timeout: 3s}}\n"), 0o600); err != nil {
		return row, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // it cannot say which port it got
	if err != nil {
		return row, err
	}
	own := l.Addr().String()
	if err := l.Close(); err != nil {
		return row, err
	}
	cmd := exec.CommandContext(ctx, path, "--config.file="+config, "--web.listen-address="+own, "--log.level=error")
	if err := cmd.Start(); err != nil {
		return row, err
	}
	probes, err := askBlackbox(ctx, own, address)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait() // it says how it was told to end
	if err != nil {
		return row, err
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	row.Value = float64(probes) / used.Seconds()
	return row, nil
}

func askBlackbox(ctx context.Context, exporter, address string) (int64, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: blackboxAtOnce}, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	page := "http://" + exporter + "/probe?module=http_2xx&target=" + url.QueryEscape("http://"+address+"/health/ready")
	ask := func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && !strings.Contains(string(body), "\nprobe_success 1\n") {
			err = fmt.Errorf("%s does not reach the endpoints: %.200s", blackbox, body)
		}
		return err
	}
	var err error
	for range 100 { // it takes a moment to begin
		if err = ask(); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, blackboxSpan)
	defer cancel()
	var n atomic.Int64
	var wg sync.WaitGroup
	for range blackboxAtOnce {
		wg.Go(func() {
			for ctx.Err() == nil {
				if ask() == nil {
					n.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return n.Load(), nil
}
