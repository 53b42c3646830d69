package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"alertd"
)

// What fn of Follow gets at once: so many records at most, or the first with which their texts have so many bytes.
const (
	followBatch = 256
	followBytes = 16 << 20
)

// Memory is a handle on a journal in memory: the twin of [NATS] for tests, with the same encoding, fence and
// checks. It is safe for concurrent use.
type Memory struct {
	store *memoryStore

	mu   sync.Mutex
	tail tail // what this handle has seen
}

// memoryStore is what all handles share.
type memoryStore struct {
	mu        sync.Mutex
	messages  []memoryMessage // of sequence 1 and up
	trimmed   uint64          // those up to here are forgotten
	snapshots [][]byte
	grown     chan struct{} // closed and replaced at every append
}

type memoryMessage struct {
	format string
	body   []byte // nil: deleted
}

var _ Log = (*Memory)(nil)

// NewMemory makes an empty journal and the first handle on it.
func NewMemory() *Memory { return &Memory{store: &memoryStore{grown: make(chan struct{})}} }

// Handle is another handle on the same journal, as another node would have it. Its fence is at the present end.
func (m *Memory) Handle() *Memory {
	h := &Memory{store: m.store}
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if n := len(m.store.messages); n > 0 {
		last := m.store.messages[n-1]
		h.tail = tailAt(uint64(n), last.format, last.body)
	}
	return h
}

// Append implements [Log].
func (m *Memory) Append(ctx context.Context, c alertd.Commit) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("journal: %w", context.Cause(ctx))
	}
	err := m.tail.extend(c, func(msg message) error {
		if !m.store.append(m.tail.seq, memoryMessage{msg.format, msg.body}) {
			return fmt.Errorf("%w: sequence %d is not the last one any more", ErrFenced, m.tail.seq)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return m.tail.seq, nil
}

// append adds a message if last is the last sequence.
func (s *memoryStore) append(last uint64, msg memoryMessage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if uint64(len(s.messages)) != last {
		return false
	}
	s.messages = append(s.messages, msg)
	close(s.grown)
	s.grown = make(chan struct{})
	return true
}

// Replay implements [Log].
func (m *Memory) Replay(ctx context.Context, from uint64, fn func(seq uint64, c alertd.Commit) error) error {
	messages, gone, _ := m.store.view()
	if from = max(from, 1); from <= gone {
		return errTrimmed(from, gone)
	}
	end, err := scanMemory(ctx, messages, from, gone, func(r Record) error { return fn(r.Seq, r.Commit) })
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tail = end
	return nil
}

// Follow implements [Log].
func (m *Memory) Follow(ctx context.Context, from uint64, fn func([]Record) error) error {
	for from = max(from, 1); ; {
		messages, gone, grown := m.store.view()
		from = max(from, gone+1)
		var batch []Record
		deliver := func() error {
			if len(batch) == 0 {
				return nil
			}
			from = batch[len(batch)-1].Seq + 1
			defer func() { batch = nil }()
			return fn(batch)
		}
		_, err := scanMemory(ctx, messages, from, gone, func(r Record) error {
			if batch = append(batch, r); len(batch) == followBatch {
				return deliver()
			}
			return nil
		})
		if err := errors.Join(deliver(), err); err != nil {
			return err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// view is what is there now, up to where it was trimmed, and a channel that closes when there is more.
func (s *memoryStore) view() (messages []memoryMessage, trimmed uint64, grown <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages[:len(s.messages):len(s.messages)], s.trimmed, s.grown
}

// scanMemory reads messages from a sequence on and returns the tail that they end with.
func scanMemory(ctx context.Context, messages []memoryMessage, from, trimmed uint64, fn func(Record) error) (tail, error) {
	last := uint64(len(messages))
	if from > last+1 {
		return tail{}, pastTheEnd(from, last)
	}
	ch := startOf(from)
	if from > 1 && from == trimmed+1 {
		ch = chain{next: from}
	}
	for seq := ch.next; seq <= last; seq++ {
		if ctx.Err() != nil {
			return tail{}, context.Cause(ctx)
		}
		msg := messages[seq-1]
		if msg.body == nil {
			continue // the stream would not deliver it
		}
		c, ends, err := ch.check(seq, msg.format, msg.body)
		if err != nil {
			return tail{}, err
		}
		if !ends || seq < from {
			continue
		}
		if err := fn(Record{Seq: seq, Commit: c}); err != nil {
			return tail{}, err
		}
	}
	if ch.next <= last {
		return tail{}, &CorruptError{Seq: ch.next, Reason: "it is missing"}
	}
	return tail{seq: last, sum: ch.sum, epoch: ch.epoch}, nil
}

// Last implements [Log].
func (m *Memory) Last(context.Context) (uint64, error) {
	messages, _, _ := m.store.view()
	return uint64(len(messages)), nil
}

// Trim implements [Log].
func (m *Memory) Trim(_ context.Context, before time.Time) (uint64, error) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if len(m.store.snapshots) < len(slots) {
		return 0, nil
	}
	older := uint64(len(m.store.messages))
	for _, s := range m.store.snapshots {
		seq, _, _, err := unpackSnapshot(s)
		if err != nil {
			return 0, nil //nolint:nilerr // it holds nothing
		}
		older = min(older, seq)
	}
	last, err := lastBefore(before, m.store.trimmed+1, older, func(seq uint64) (time.Time, error) {
		h, err := headOf(m.store.messages[seq-1].format, m.store.messages[seq-1].body)
		return h.Time, err
	})
	if err != nil || last == 0 {
		return 0, err
	}
	m.store.messages = slices.Clone(m.store.messages) // what somebody views stays as it is
	for i := range last {
		m.store.messages[i].body = nil
	}
	m.store.trimmed = last
	return last, nil
}

// SaveSnapshot implements [Log].
func (m *Memory) SaveSnapshot(_ context.Context, seq uint64, state io.WriterTo) error {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if seq == 0 || seq > uint64(len(m.store.messages)) {
		return fmt.Errorf("snapshot: there is no commit %d", seq)
	}
	b, err := packSnapshot(seq, sumOf(m.store.messages[seq-1].body), state)
	if err != nil {
		return err
	}
	for _, old := range m.store.snapshots {
		if s, _, _, err := unpackSnapshot(old); err == nil && s >= seq && s <= uint64(len(m.store.messages)) {
			return nil // one from beyond the end is of a journal that is gone
		}
	}
	m.store.snapshots = append(m.store.snapshots, b)
	m.store.snapshots = m.store.snapshots[max(0, len(m.store.snapshots)-2):]
	return nil
}

// LoadSnapshot implements [Log].
func (m *Memory) LoadSnapshot(context.Context) (uint64, []byte, error) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	var why []error
	for i := len(m.store.snapshots) - 1; i >= 0; i-- {
		seq, sum, state, err := unpackSnapshot(m.store.snapshots[i])
		if err == nil && (seq > uint64(len(m.store.messages)) || sumOf(m.store.messages[seq-1].body) != sum) {
			err = fmt.Errorf("it is of another journal, or commit %d changed since", seq)
		}
		if err == nil {
			return seq, state, nil
		}
		why = append(why, err)
	}
	if why != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrNoSnapshot, errors.Join(why...))
	}
	return 0, nil, nil
}
