package nodes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"alertd/natsbus/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(patient{m}) }

// patient gives goroutines that are about to end the time that they need for it on a busy machine.
type patient struct{ *testing.M }

func (p patient) Run() int {
	code := p.M.Run()
	for end := time.Now().Add(30 * time.Second); code == 0 && goleak.Find() != nil && time.Now().Before(end); {
	}
	return code
}

// startNATS starts a server that takes messages of at most 64 KiB, so that answers come in pieces.
func startNATS(t testing.TB) string {
	t.Helper()
	return natstest.Start(t, server.Options{MaxPayload: 64 << 10}).ClientURL()
}

func join(t testing.TB, url, name string) *Nodes {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	n, err := Join(nc, Options{Node: Node{name, name + ":9093"}, Version: "v1.2.3-4-gabc"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPeers(t *testing.T) {
	url := startNATS(t)
	b, a := join(t, url, "b"), join(t, url, "a")
	want := []Node{{"a", "a:9093"}, {"b", "b:9093"}}
	for end := time.Now().Add(30 * time.Second); ; { // on a busy machine one may not answer in time
		got, err := a.Peers(t.Context())
		if err == nil && slices.Equal(got, want) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a sees %v, %v; want %v", got, err, want)
		}
	}
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Peers(t.Context()); err != nil || !slices.Equal(got, want[:1]) {
		t.Errorf("after b left a sees %v, %v", got, err)
	}
}

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Add("X-Twice", "1")
	w.Header().Add("X-Twice", "2")
	w.Header().Set("X-Asked", fmt.Sprint(r.Method, " ", r.URL, " ", r.Host, " ", r.Header.Get("X-Mine")))
	w.Header().Set("X-From", r.RemoteAddr)
	w.WriteHeader(http.StatusTeapot)
	_, _ = w.Write(body)
}

func TestForward(t *testing.T) {
	url := startNATS(t)
	leader, standby := join(t, url, "leader"), join(t, url, "standby")
	ctx, cancel := context.WithCancel(t.Context())
	done, err := leader.Lead(ctx, http.HandlerFunc(echo))
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(standby.Forward))
	defer front.Close()

	for _, size := range []int{0, 1, 1000, 5 << 20} {
		body := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		req, err := http.NewRequestWithContext(t.Context(), "POST", front.URL+"/api/v2/alerts?filter=a%3D%22b%22", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Mine", "yes")
		req.Header.Set(clientHeader, "192.0.2.7:1") // a lie
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusTeapot || !bytes.Equal(got, body) {
			t.Errorf("%d bytes: status %d, %d bytes back, %v", size, res.StatusCode, len(got), err)
		}
		if asked := res.Header.Get("X-Asked"); asked != "POST /api/v2/alerts?filter=a%3D%22b%22 "+req.URL.Host+" yes" {
			t.Errorf("the leader was asked %q", asked)
		}
		if from := res.Header.Get("X-From"); !strings.HasPrefix(from, "127.0.0.1:") {
			t.Errorf("the leader was told that %q asks", from)
		}
		if !slices.Equal(res.Header.Values("X-Twice"), []string{"1", "2"}) {
			t.Errorf("headers %v", res.Header)
		}
	}

	// What does not compress does not fit into a message: said, not lost.
	var noise bytes.Buffer
	for i := range 40_000 {
		fmt.Fprintf(&noise, "%x", i*i*2654435761)
	}
	res, err := http.Post(front.URL, "text/plain", &noise)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(text), "ask the node that leads") {
		t.Errorf("too much for a message: %d %s", res.StatusCode, text)
	}

	if err := standby.Led(t.Context()); err != nil {
		t.Errorf("somebody leads: %v", err)
	}
	cancel()
	<-done
	if err := standby.Led(t.Context()); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("nobody leads: %v", err)
	}
	for end := time.Now().Add(30 * time.Second); ; { // a server that takes more than the second it is given has the one that went answer
		res, err := http.Get(front.URL)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		nobody := strings.Contains(string(text), "no other one leads")
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !nobody && time.Now().After(end) {
			t.Fatalf("nobody leads: %d %s", res.StatusCode, text)
		}
		if nobody {
			break
		}
	}
	full, err := Join(standby.nc, Options{
		Node: Node{"full", "full:9093"}, Version: "1.0.0", Unwell: func(context.Context) error { return errors.New("the disk is full") },
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	full.Forward(w, httptest.NewRequest("GET", "/", http.NoBody))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "no other one leads") || !strings.Contains(w.Body.String(), "(the disk is full)") {
		t.Errorf("nobody leads, for a reason: %d %s", w.Code, w.Body)
	}
}

// Who is about to lead no more says so, and is no leader for those who ask whether there is one.
func TestGoing(t *testing.T) {
	url := startNATS(t)
	ctx, cancel := context.WithCancel(t.Context())
	done, err := join(t, url, "leader").Lead(ctx, http.HandlerFunc(noMore))
	if err != nil {
		t.Fatal(err)
	}
	if err := join(t, url, "standby").Led(t.Context()); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a leader that goes: %v", err)
	}
	cancel()
	<-done
}

// What is no answer of HTTP is not passed on.
func TestStrangeAnswer(t *testing.T) {
	url := startNATS(t)
	ctx, cancel := context.WithCancel(t.Context())
	done, err := join(t, url, "leader").Lead(ctx, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) }))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	join(t, url, "standby").Forward(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "it answers with status 99") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	cancel()
	<-done
}

// Two that believe to lead answer both: the answer is one of the two, whole.
func TestTwoLeaders(t *testing.T) {
	url := startNATS(t)
	ctx, cancel := context.WithCancel(t.Context())
	var ended []<-chan struct{}
	for _, name := range []string{"a", "b"} {
		done, err := join(t, url, name).Lead(ctx, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(name, 1<<20))
		}))
		if err != nil {
			t.Fatal(err)
		}
		ended = append(ended, done)
	}
	standby := join(t, url, "c")
	for range 10 {
		w := httptest.NewRecorder()
		standby.Forward(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
		if got := w.Body.String(); got != strings.Repeat("a", 1<<20) && got != strings.Repeat("b", 1<<20) {
			t.Fatalf("%d a and %d b of %d bytes", strings.Count(got, "a"), strings.Count(got, "b"), len(got))
		}
	}
	cancel()
	for _, done := range ended {
		<-done
	}
}

// A request that is packed is the same when it is unpacked, and nothing that comes over NATS makes unpack panic.
func FuzzUnpack(f *testing.F) {
	r := httptest.NewRequest("POST", "/api/v2/silences", strings.NewReader(`{"comment":"x"}`))
	good, err := pack(httptest.NewRecorder(), r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := unpack(data)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		again, err := pack(httptest.NewRecorder(), r)
		if err != nil {
			return // ReadRequest is more patient than Write
		}
		back, err := unpack(again)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(back.Body); !bytes.Equal(got, body) || back.Method != r.Method {
			t.Errorf("%s %q became %s %q", r.Method, body, back.Method, got)
		}
	})
}
