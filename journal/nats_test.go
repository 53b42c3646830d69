package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"alertd"
	"alertd/natsbus"
	"alertd/natsbus/natstest"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

func TestNamesAreTheBus(t *testing.T) {
	if streamName != natsbus.JournalStream || subject != natsbus.JournalSubject {
		t.Errorf("%s %s, want %s %s", streamName, subject, natsbus.JournalStream, natsbus.JournalSubject)
	}
}

func TestOpenNeedsTheStream(t *testing.T) {
	b, err := natsbus.Open(t.Context(), natsbus.Options{Listen: "127.0.0.1:0", StoreDir: t.TempDir(), MaxStore: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background())
	if _, err := OpenNATS(t.Context(), b.JetStream(), "a", nil); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Error(err)
	}
}

// flaky is a proxy in front of a server. While deaf it loses what goes to the server, while mute what comes back.
type flaky struct {
	net.Listener
	to         string
	deaf, mute atomic.Bool
	mu         sync.Mutex
	conns      []net.Conn
	wg         sync.WaitGroup
}

func newFlaky(t *testing.T, to string) *flaky {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &flaky{Listener: l, to: strings.TrimPrefix(to, "nats://")}
	f.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", f.to)
			if err != nil {
				in.Close()
				continue
			}
			f.mu.Lock()
			f.conns = append(f.conns, in, out)
			f.mu.Unlock()
			f.wg.Go(func() { pipe(out, in, &f.deaf) })
			f.wg.Go(func() { pipe(in, out, &f.mute) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.heal()
		f.wg.Wait()
	})
	return f
}

func pipe(to, from net.Conn, lose *atomic.Bool) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !lose.Load() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// heal cuts all connections and lets new ones through.
func (f *flaky) heal() {
	f.deaf.Store(false)
	f.mute.Store(false)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

// unreliable is a journal behind a flaky proxy, and a second handle on it that has a line of its own.
func unreliable(t *testing.T) (*NATS, *flaky, *NATS) {
	t.Helper()
	s := natstest.Start(t, server.Options{JetStream: true})
	join := func(url string) *natsbus.Bus {
		b, err := natsbus.Open(t.Context(), natsbus.Options{URL: url, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Conn().Close() })
		return b
	}
	f := newFlaky(t, s.ClientURL())
	other := join(s.ClientURL())
	if err := other.EnsureStreams(t.Context(), natsbus.Limits{}); err != nil {
		t.Fatal(err)
	}
	return openLog(t, join("nats://"+f.Addr().String())), f, openLog(t, other)
}

func TestAppendWhoseAnswerIsLost(t *testing.T) {
	for name, lose := range map[string]func(*flaky){
		"on the way there": func(f *flaky) { f.deaf.Store(true) },
		"on the way back":  func(f *flaky) { f.mute.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, f, other := unreliable(t)
			fill(t, l, 2)
			lose(f)
			timer := time.AfterFunc(200*time.Millisecond, f.heal)
			defer timer.Stop()
			seq, err := l.Append(t.Context(), commitN(3))
			if err != nil || seq != 3 {
				t.Fatalf("%d, %v", seq, err)
			}
			if seq, err := l.Append(t.Context(), commitN(4)); err != nil || seq != 4 {
				t.Fatalf("%d, %v", seq, err)
			}
			if got, err := checkpoints(t, other, 1); err != nil || fmt.Sprint(got) != "[1 2 3 4]" {
				t.Errorf("the journal holds %v, %v", got, err)
			}
		})
	}
}

func TestAppendThatIsLostWhileAnotherWrites(t *testing.T) {
	t.Parallel()
	l, f, other := unreliable(t)
	fill(t, l, 2)
	f.deaf.Store(true)
	timer := time.AfterFunc(200*time.Millisecond, func() {
		if _, err := checkpoints(t, other, 1); err != nil {
			t.Error(err)
		}
		if _, err := other.Append(t.Context(), commitN(33)); err != nil {
			t.Error(err)
		}
		f.heal()
	})
	defer timer.Stop()
	if seq, err := l.Append(t.Context(), commitN(3)); !errors.Is(err, ErrFenced) {
		t.Fatalf("%d, %v", seq, err)
	}
	if got, err := checkpoints(t, l, 1); err != nil || fmt.Sprint(got) != "[1 2 33]" {
		t.Errorf("the journal holds %v, %v", got, err)
	}
}

func TestAppendThatNobodyCanTell(t *testing.T) {
	t.Parallel()
	l, f, other := unreliable(t)
	fill(t, l, 2)
	f.mute.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // long enough to send it on a busy machine
	defer cancel()
	begin := time.Now()
	_, err := l.Append(ctx, commitN(3))
	if !errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
	if d := time.Since(begin); d > appendPatience/2 { // it needs not much more than resolvePatience
		t.Errorf("it took %v", d)
	}
	f.heal()
	if _, err := l.Append(t.Context(), commitN(4)); !errors.Is(err, ErrUnknown) {
		t.Fatalf("appended without knowing what is there: %v", err)
	}
	got, err := checkpoints(t, l, 1)
	if err != nil || fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("the journal holds %v, %v", got, err)
	}
	if seq, err := l.Append(t.Context(), commitN(4)); err != nil || seq != 4 {
		t.Errorf("%d, %v", seq, err)
	}
	if got, err := checkpoints(t, other, 1); err != nil || fmt.Sprint(got) != "[1 2 3 4]" {
		t.Errorf("the journal holds %v, %v", got, err)
	}
}

func TestFollowSurvivesALostConnection(t *testing.T) {
	t.Parallel()
	l, f, other := unreliable(t)
	fill(t, other, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	enough := errors.New("enough")
	next := uint64(1)
	err := l.Follow(ctx, 1, func(batch []Record) error {
		for _, r := range batch {
			if r.Seq != next {
				t.Errorf("got %d, want %d", r.Seq, next)
			}
			next++
		}
		switch next {
		case 4:
			f.heal() // cuts
			for i := 4; i <= 6; i++ {
				if _, err := other.Append(t.Context(), commitN(i)); err != nil {
					return err
				}
			}
		case 7:
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("%v at %d", err, next)
	}
}

// A process that appends is killed again and again. Nothing that it was told is there may be missing.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	acked, total := uint64(0), 0
	for round := range 10 {
		kill := 1 + rng.IntN(300)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "JOURNAL_TEST_CHILD="+dir)
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatalf("round %d: %v", round, cmd.Wait())
		}
		found, err := strconv.ParseUint(strings.TrimPrefix(lines.Text(), "found "), 10, 64)
		if err != nil || found < acked || found > acked+1 {
			t.Errorf("round %d: %s, but %d were acknowledged", round, lines.Text(), acked)
		}
		acked = found
		for n := 0; lines.Scan(); n++ { // to the end of the pipe: what was said before the kill counts
			if acked, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if n == kill {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			total++
		}
		if err := cmd.Wait(); err == nil {
			t.Fatalf("round %d: the child was not killed", round)
		}
	}
	t.Logf("%d appends acknowledged over 10 kills", total)
}

// childMain is the process that TestKill kills: it checks what it finds, says how much that is, and appends.
func childMain() bool {
	dir := os.Getenv("JOURNAL_TEST_CHILD")
	if dir == "" {
		return false
	}
	if err := child(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	return true
}

func child(ctx context.Context, dir string) error {
	b, err := natsbus.Open(ctx, natsbus.Options{Listen: "127.0.0.1:0", StoreDir: dir, MaxStore: 1 << 30})
	if err != nil {
		return err
	}
	if err := b.EnsureStreams(ctx, natsbus.Limits{}); err != nil {
		return err
	}
	l, err := OpenNATS(ctx, b.JetStream(), "a", nil)
	if err != nil {
		return err
	}
	last := uint64(0)
	err = l.Replay(ctx, 1, func(seq uint64, c alertd.Commit) error {
		last = seq
		if c.Checkpoint != seq {
			return fmt.Errorf("commit %d has checkpoint %d", seq, c.Checkpoint)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if seq, state, err := l.LoadSnapshot(ctx); err != nil || seq > last || seq > 0 && string(state) != fmt.Sprint(seq) {
		return fmt.Errorf("snapshot %d %q of %d: %w", seq, state, last, err)
	}
	fmt.Println("found", last)
	for i := last + 1; ; i++ {
		seq, err := l.Append(ctx, commitN(int(i)))
		if err != nil {
			return err
		}
		fmt.Println(seq)
		if seq%20 == 0 {
			if err := l.SaveSnapshot(ctx, seq, strings.NewReader(fmt.Sprint(seq))); err != nil {
				return err
			}
		}
	}
}

func TestLease(t *testing.T) {
	t.Parallel()
	b := openBus(t, t.TempDir())
	js := b.JetStream()
	acquire := func(node string, ttl time.Duration) *Lease {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		l, err := AcquireLease(ctx, js, node, ttl)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Release(context.Background()) })
		return l
	}
	isLost := func(l *Lease) bool {
		select {
		case <-l.Lost():
			return true
		default:
			return false
		}
	}
	waitLost := func(l *Lease) {
		t.Helper()
		select {
		case <-l.Lost():
		case <-time.After(time.Minute):
			t.Error("the lease was not lost")
		}
	}

	const short, long = 2700 * time.Millisecond, 20 * time.Second // the short one becomes three seconds
	renewed := func(l *Lease) bool {
		waiting, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond) // though it is only three seconds long
		defer cancel()
		other, err := AcquireLease(waiting, js, "b", time.Second)
		switch {
		case err == nil && !isLost(l):
			t.Fatal("two leaders")
		case err == nil:
			if err := other.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		case !errors.Is(err, context.DeadlineExceeded):
			t.Fatal(err)
		}
		return !isLost(l)
	}
	first := acquire("a", short)
	for tries := 1; !renewed(first); tries++ { // a machine that is too busy for three seconds costs it, but not always
		if tries == 5 {
			t.Fatal("the leader lost its lease without cause")
		}
		first = acquire("a", short)
	}

	// Released: the next one does not wait for the lease to run out.
	if err := first.Release(t.Context()); err != nil || !isLost(first) {
		t.Errorf("release: %v", err)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Errorf("release again: %v", err)
	}
	lasting := acquire("a", long)
	if err := lasting.Release(t.Context()); err != nil {
		t.Error(err)
	}
	begin := time.Now()
	second := acquire("b", long)
	if d := time.Since(begin); d > long/2 {
		t.Errorf("a released lease took %v", d)
	}
	if second.Epoch() <= first.Epoch() {
		t.Errorf("epoch %d after %d", second.Epoch(), first.Epoch())
	}

	// Restarted under the same name: no waiting either, and the old one notices.
	begin = time.Now()
	third := acquire("b", short)
	if d := time.Since(begin); d > long/2 {
		t.Errorf("our own lease took %v", d)
	}
	waitLost(second)
	if third.Epoch() <= second.Epoch() {
		t.Errorf("epoch %d after %d", third.Epoch(), second.Epoch())
	}

	// Died without a word.
	third.cancel()
	<-third.done
	begin = time.Now()
	fourth := acquire("c", short)
	if d := time.Since(begin); d > long {
		t.Errorf("a dead leader was followed after %v", d)
	}
	if fourth.Epoch() <= third.Epoch() {
		t.Errorf("epoch %d after %d", fourth.Epoch(), third.Epoch())
	}

	// The bucket is lost, its revisions start again; epochs do not.
	log := openLog(t, b)
	c := commitN(1)
	c.Epoch = fourth.Epoch()
	if _, err := log.Append(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteKeyValue(t.Context(), leaseBucket); err != nil {
		t.Fatal(err)
	}
	waitLost(fourth)
	if fifth := acquire("d", short); fifth.Epoch() <= fourth.Epoch() {
		t.Errorf("epoch %d after %d", fifth.Epoch(), fourth.Epoch())
	}
}

func TestLeaseIsLostWithTheConnection(t *testing.T) {
	t.Parallel()
	l, f, _ := unreliable(t)
	const ttl = 4 * time.Second
	lease, err := AcquireLease(t.Context(), l.js, "a", ttl)
	if err != nil {
		t.Fatal(err)
	}
	f.deaf.Store(true)
	begin := time.Now()
	select {
	case <-lease.Lost():
	case <-time.After(time.Minute):
		t.Fatal("a node that the server does not hear thinks that it leads")
	}
	if d := time.Since(begin); d > 3*ttl { // it needs no answer for that; the client would hear of the server after a minute
		t.Errorf("it took %v to notice", d)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
}
