package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"alertd"
)

const (
	maxPart  = MaxMessage - 1<<10 // bytes of a commit in one message, behind a head
	maxParts = 1 << 10            // of a commit
)

// head is the first line of a message that holds a part of a commit. The rest of the message is that part: bytes of the body
// that the commit would have in one message.
type head struct {
	Epoch uint64    `json:"epoch"`
	Time  time.Time `json:"time"`
	Prev  string    `json:"prev"`           // as in a commit: of the message before
	Part  int       `json:"part"`           // which one, from 0
	More  bool      `json:"more,omitempty"` // the commit goes on in the next message
}

// message is one of those that a commit becomes.
type message struct {
	format string
	body   []byte
	after  tail           // the tail behind it
	commit *alertd.Commit // that ends with it; nil: more is to come
	text   []byte         // of that commit
}

// extend writes a commit behind the tail, and moves the tail: in one message where it fits, else in as many as it takes. Where
// write fails in between, what it has taken is the beginning of a commit that never ends, and no reader sees it.
func (t *tail) extend(c alertd.Commit, write func(message) error) error {
	text, err := t.next(c)
	if err != nil {
		return err
	}
	c.Prev = t.sum
	put := func(m message) error {
		m.after = tail{seq: t.seq + 1, sum: sumOf(m.body), epoch: c.Epoch}
		if err := write(m); err != nil {
			return err
		}
		*t = m.after
		return nil
	}
	if len(text) <= MaxMessage {
		format, body := pack(text)
		return put(message{format: format, body: body, commit: &c, text: text})
	}
	for i, at := 0, 0; at < len(text); i++ {
		piece := text[at:min(at+maxPart, len(text))]
		at += len(piece)
		m := message{format: formatPart}
		if m.body, err = encodePart(head{c.Epoch, c.Time, t.sum, i, at < len(text)}, piece); err != nil {
			return err
		}
		if at == len(text) {
			m.commit, m.text = &c, text
		}
		if err := put(m); err != nil {
			return err
		}
	}
	return nil
}

func encodePart(h head, piece []byte) ([]byte, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return append(append(b, '\n'), piece...), nil
}

// decodePart reads what encodePart wrote, or says that it is something else.
func decodePart(b []byte) (h head, piece []byte, err error) {
	line, piece, ok := bytes.Cut(b, []byte{'\n'})
	if !ok {
		return h, nil, errors.New("a part of a commit has no head")
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, nil, err
	}
	if h.Part < 0 || h.Part >= maxParts {
		return h, nil, fmt.Errorf("it is part %d of a commit, which has at most %d", h.Part+1, maxParts)
	}
	return h, piece, nil
}

// headOf reads what stands in front of any message.
func headOf(format string, body []byte) (h head, err error) {
	switch format {
	case formatPart:
		h, _, err = decodePart(body)
		return h, err
	case formatPacked:
		if body, err = unpack(body); err != nil {
			return h, err
		}
	}
	c, err := decode(body)
	return head{Epoch: c.Epoch, Time: c.Time, Prev: c.Prev}, err
}

// tailAt is the tail of a journal that ends with a message.
func tailAt(seq uint64, format string, body []byte) tail {
	h, _ := headOf(format, body) // what cannot be read is found by Replay, which says more about it
	return tail{seq: seq, sum: sumOf(body), epoch: h.Epoch}
}

// part adds a message to the commit that is open. If that ends with it, it returns its text, and true. A first part ends what
// was open without a commit: its writer was stopped, or began again. What comes before the first beginning belongs to a commit
// that the reader does not want, or that was trimmed.
func (ch *chain) part(body []byte) (h head, text []byte, ends bool, err error) {
	h, piece, err := decodePart(body)
	if err != nil {
		return h, nil, false, err
	}
	if h.Part == 0 {
		ch.drop()
	}
	if !ch.begun {
		return h, nil, false, nil
	}
	if h.Part != ch.parts {
		return h, nil, false, fmt.Errorf("it is part %d of a commit of which %d are there", h.Part+1, ch.parts)
	}
	ch.open, ch.parts = append(ch.open, piece...), ch.parts+1
	if h.More {
		return h, nil, false, nil
	}
	text = ch.open
	ch.drop()
	return h, text, true, nil
}

// drop forgets the commit that is open: another one begins.
func (ch *chain) drop() { ch.open, ch.parts, ch.begun = nil, 0, true }
