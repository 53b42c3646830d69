package journal

import (
	"bytes"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"pgregory.net/rapid"

	"alertd"
)

// A large commit takes less in the stream than its text, and is read as it was written; a small one is its text.
func TestPackedCommits(t *testing.T) {
	t.Parallel()
	l := empty(t).handle()
	var formats []string
	var bodies [][]byte
	for i, n := range []int{1, 100, 2} {
		if _, err := l.Append(t.Context(), commitOf(n)); err != nil {
			t.Fatal(err)
		}
		m, err := l.stream.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		formats, bodies = append(formats, m.Header.Get(formatHeader)), append(bodies, m.Data)
	}
	if got := strings.Join(formats, " "); got != "1 3 1" {
		t.Errorf("formats %s", got)
	}
	packed := bodies[1]
	text, err := unpack(packed)
	if err != nil || len(text) < 4*len(packed) {
		t.Errorf("%d bytes are packed into %d, %v", len(text), len(packed), err)
	}
	if c, err := decode(text); err != nil || len(c.Entries) != len(commitOf(100).Entries) {
		t.Error(len(c.Entries), err)
	}
	if h, err := headOf(formatPacked, packed); err != nil || h.Prev != sumOf(bodies[0]) {
		t.Error(h, err)
	}
}

// What a version wrote that did not pack is read as ever.
func TestLargeCommitsOfBefore(t *testing.T) {
	t.Parallel()
	s := empty(t)
	text, err := encode(commitOf(100))
	if err != nil || len(text) < packFrom {
		t.Fatal(len(text), err)
	}
	s.write(formatWhole, text)
	l := s.handle()
	if _, err := l.Append(t.Context(), commitOf(100)); err != nil {
		t.Fatal(err)
	}
	var read []int
	if err := l.Replay(t.Context(), 1, func(_ uint64, c alertd.Commit) error {
		read = append(read, len(c.Entries))
		return nil
	}); err != nil || len(read) != 2 || read[0] != read[1] {
		t.Errorf("%d, %v", read, err)
	}
	if m, err := l.stream.GetMsg(t.Context(), 2); err != nil || m.Header.Get(formatHeader) != formatPacked {
		t.Errorf("written as %v, %v", m, err)
	}
}

// Whatever stands in the stream is a text of a bounded size, or an error.
func TestUnpack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "body")
		if text, err := unpack(b); err == nil && len(text) > MaxMessage {
			t.Fatal(len(text))
		}
		text := bytes.Repeat(b, packFrom/max(len(b), 1)+1)
		format, body := pack(text)
		if format == formatWhole {
			return
		}
		if got, err := unpack(body); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%d bytes instead of %d, %v", len(got), len(text), err)
		}
		if _, err := unpack(body[:len(body)-1]); err == nil {
			t.Fatal("cut, and not noticed")
		}
	})
	if _, err := unpack(s2.Encode(nil, make([]byte, MaxMessage+1))); err == nil {
		t.Error("more than a message holds")
	}
}
