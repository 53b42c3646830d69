package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// Whatever a message holds, reading it gives a commit that can be written again, or an error.
func FuzzDecode(f *testing.F) {
	for _, c := range []alertd.Commit{{}, commitN(1), commitN(math.MaxInt64)} {
		b, err := encode(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"entries":[{"transition":{"alert":{"value":"NaN","labels":{"a":"b"},"fingerprint":"00000000000000ff"}}}]}`))
	f.Add([]byte(`{"entries":[{"planned":{"notification":{"alerts":[{"labels":null}]}}},{"policy":{}},{"joined":{"group_wait":-1}}]}`))
	f.Add([]byte(`{"entries":[{"attempted":{"n":1,"outcome":"retry","retry_after":9e99}}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(b)
		if err != nil {
			return
		}
		first, err := encode(c)
		if errors.Is(err, ErrTooLarge) {
			return
		}
		if err != nil {
			t.Fatalf("read, but cannot be written: %v", err)
		}
		again, err := decode(first)
		if err != nil {
			t.Fatalf("cannot read what was written: %v\n%s", err, first)
		}
		if second, err := encode(again); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v\n%s\n%s", err, first, second)
		}
	})
}

// packSnapshot writes a snapshot of the state at seq, where the commit's checksum is sum (hexadecimal).
func packSnapshot(seq uint64, sum string, state io.WriterTo) ([]byte, error) {
	b, _, err := packState(state)
	if err != nil {
		return nil, err
	}
	return b, sealSnapshot(b, seq, sum)
}

func FuzzUnpackSnapshot(f *testing.F) {
	b, err := packSnapshot(7, sumOf(nil), strings.NewReader("state"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte(snapshotMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, sum, state, err := unpackSnapshot(b)
		if err != nil {
			return
		}
		b2, err := packSnapshot(seq, sum, bytes.NewReader(state))
		if err != nil {
			t.Fatal(err)
		}
		if seq2, sum2, state2, err := unpackSnapshot(b2); err != nil || seq2 != seq || sum2 != sum || !bytes.Equal(state, state2) {
			t.Fatalf("%d %s %q, %v", seq2, sum2, state2, err)
		}
	})
}

// A small state must not unpack to more than the bound, however it was made.
func TestSnapshotIsBounded(t *testing.T) {
	b, err := packSnapshot(1, sumOf(nil), bytes.NewReader(make([]byte, 16<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 1<<20 {
		t.Errorf("16 MiB of zeros take %d bytes", len(b))
	}
	if _, _, state, err := unpackSnapshot(b); err != nil || len(state) != 16<<20 {
		t.Errorf("%d bytes, %v", len(state), err)
	}
}

// commitOf has n alerts, as a turn of the loop under load decides them.
func commitOf(n int) alertd.Commit {
	c := commitN(1)
	c.Entries = nil
	for i := range n {
		e := commitN(i).Entries
		e[0].Transition.Alert.Labels = labels.FromStrings("alertname", "ErrorRate", "service", fmt.Sprint("svc-", i), "severity", "critical", "instance", "10.0.0.1:9090")
		c.Entries = append(c.Entries, e...)
	}
	return c
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		c := commitOf(n)
		b.Run(fmt.Sprintf("entries=%d", 2*n), func(b *testing.B) {
			for b.Loop() {
				body, _ := encode(c)
				sumOf(body)
				b.SetBytes(int64(len(body)))
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	body, _ := encode(commitOf(10))
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("entries=%d", 2*n), func(b *testing.B) {
			l, c := openLog(b, openBus(b, b.TempDir())), commitOf(n)
			for b.Loop() {
				if _, err := l.Append(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReplay(b *testing.B) {
	l, c := openLog(b, openBus(b, b.TempDir())), commitOf(2)
	const n = 5000
	for range n {
		if _, err := l.Append(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := l.Replay(b.Context(), 1, func(uint64, alertd.Commit) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "commits/s")
}
