package journal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"alertd/natsbus"

	"github.com/nats-io/nats-server/v2/server"
)

// cluster starts three servers and returns their URLs.
func cluster(t *testing.T) (servers []*server.Server, urls string) {
	t.Helper()
	for range 3 { // somebody else may have taken one of the ports
		if servers, urls = tryCluster(t); servers != nil {
			return servers, urls
		}
	}
	t.Fatal("a server is not ready")
	return nil, ""
}

func tryCluster(t *testing.T) (servers []*server.Server, urls string) {
	t.Helper()
	var ports []int
	var routes []string
	var taken []net.Listener
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		ports, routes = append(ports, port), append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
		taken = append(taken, l)
	}
	for _, l := range taken { // only now, so that they are three different ones
		l.Close()
	}
	for i, p := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: p}, Routes: server.RoutesFromStr(strings.Join(routes, ",")),
		})
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	}
	for _, s := range servers {
		s.Start()
	}
	for i, s := range servers {
		if !s.ReadyForConnections(time.Minute) {
			return nil, ""
		}
		if i > 0 {
			urls += ","
		}
		urls += s.ClientURL()
	}
	deadline := time.Now().Add(time.Minute)
	for {
		for _, s := range servers {
			if s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == 3 {
				return servers, urls
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the cluster has no leader")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Three replicas: the same promises, other error codes, and replicas that answer late. One server leaves on the way.
func TestCluster(t *testing.T) {
	t.Parallel()
	servers, urls := cluster(t)
	open := func() *natsbus.Bus {
		b, err := natsbus.Open(t.Context(), natsbus.Options{URL: urls})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Conn().Close() })
		return b
	}
	bus := open()
	if err := bus.EnsureStreams(t.Context(), natsbus.Limits{EventsMaxAge: time.Hour, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	lease, err := AcquireLease(t.Context(), bus.JetStream(), "a", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	a, b := openLog(t, bus), openLog(t, open())
	fill(t, a, 20)
	if _, err := b.Append(t.Context(), commitN(21)); !errors.Is(err, ErrFenced) {
		t.Fatalf("a handle that has seen nothing appended: %v", err)
	}
	if err := a.SaveSnapshot(t.Context(), 20, strings.NewReader("twenty")); err != nil {
		t.Fatal(err)
	}
	if seq, state, err := b.LoadSnapshot(t.Context()); err != nil || seq != 20 || string(state) != "twenty" {
		t.Errorf("snapshot %d %q, %v", seq, state, err)
	}
	if got, err := checkpoints(t, b, 1); err != nil || len(got) != 20 {
		t.Fatalf("%v, %v", got, err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}

	info, err := b.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if s.Name() == info.Cluster.Leader {
			s.Shutdown() // hands over; the commits in flight wait or are sent again
		}
	}
	for i := 21; i <= 40; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if seq, err := b.Append(ctx, commitN(i)); err != nil || seq != uint64(i) {
			t.Fatalf("append %d: %d, %v", i, seq, err)
		}
		cancel()
	}
	if _, err := a.Append(t.Context(), commitN(21)); !errors.Is(err, ErrFenced) {
		t.Errorf("the deposed one appended: %v", err)
	}
	if got, err := checkpoints(t, a, 1); err != nil || len(got) != 40 {
		t.Errorf("%v, %v", got, err)
	}
}
