package journal

import (
	"bytes"
	"sync"

	"alertd"
)

// maxRecent bounds what a writer keeps of its own commits, in bytes of their texts: the entries, which share most of their texts
// with the state, take less.
const maxRecent = 32 << 20

// recent holds what this node is writing, so that its own reader, which hears of it from the stream a moment later, need not
// decode it again: in a storm that would be a third of all work. A message is taken for one of these only if it has the same
// checksum, so the order and the content stay those of the stream. While there is no room, nothing is kept: the reader decodes that
// as ever, and comes to it last.
// The zero value is empty and ready; it is safe for concurrent use. The commits in it are shared: nobody changes them.
type recent struct {
	mu    sync.Mutex
	sent  []sent // the oldest first
	bytes int
}

type sent struct {
	seq    uint64
	sum    string // of the message with which it ends
	size   int
	commit alertd.Commit
}

// put keeps a commit that is about to be published, and whose last message is the tail then. One that would be read differently is not kept: a text that is no UTF-8,
// where encoding/json writes an escaped U+FFFD.
func (r *recent) put(t tail, text []byte, c alertd.Commit) {
	if bytes.Contains(text, []byte(`\ufffd`)) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes+len(text) > maxRecent {
		return
	}
	r.sent, r.bytes = append(r.sent, sent{t.seq, t.sum, len(text), c}), r.bytes+len(text)
}

// take returns the commit that ended at seq, if the message there has the checksum of what was published. It forgets
// that and everything before it. A nil recent has none.
func (r *recent) take(seq uint64, sum string) (c alertd.Commit, ok bool) {
	if r == nil {
		return c, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.sent) > 0 && r.sent[0].seq <= seq {
		if r.sent[0].seq == seq && r.sent[0].sum == sum {
			c, ok = r.sent[0].commit, true
		}
		r.drop()
	}
	return c, ok
}

// drop forgets the oldest.
func (r *recent) drop() {
	r.bytes -= r.sent[0].size
	r.sent[0] = sent{}
	if r.sent = r.sent[1:]; len(r.sent) == 0 {
		r.sent = nil
	}
}
