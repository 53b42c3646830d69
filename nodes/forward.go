package nodes

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
)

// Whoever leads answers requests that come to leaderSubject: an HTTP/1.1 request, compressed with gzip. The answer is an HTTP/1.1
// response in as many messages as it needs, of which the last one says so. All bear the sender's name: when the lead changes hands, two may
// answer for a moment.
const (
	leaderSubject = "alertd.leader.http"
	nodeHeader    = "Alertd-Node"
	lastHeader    = "Alertd-Last"
	clientHeader  = "Alertd-Client" // who asked the first node
)

const (
	maxRequest  = 32 << 20  // bytes of a request that is forwarded
	maxResponse = 256 << 20 // bytes of an answer
	maxAtOnce   = 64        // requests that are answered for others at a time
	piece       = 512 << 10 // bytes of an answer in one message, or fewer where the server wants it so
	patience    = 30 * time.Second
	excuse      = time.Second // to find out why none leads
	goodbye     = time.Second // for the server to learn that a node leads no more; one that is away may learn it later
)

// Lead answers with h what other nodes forward, until ctx ends. It returns as soon as it listens; done is closed when the server
// sends no more requests here and the last one is answered.
func (n *Nodes) Lead(ctx context.Context, h http.Handler) (done <-chan struct{}, err error) {
	slots := make(chan struct{}, maxAtOnce)
	sub, err := n.nc.Subscribe(leaderSubject, func(msg *nats.Msg) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			n.answer(ctx, http.HandlerFunc(noMore), msg)
			return
		}
		go func() {
			defer func() { <-slots }()
			n.answer(ctx, h, msg)
		}()
	})
	if err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	drained := make(chan struct{}) // Drain only begins; this is closed when the last message has been taken
	sub.SetClosedHandler(func(string) { close(drained) })
	if err := n.nc.FlushTimeout(patience); err != nil {
		return nil, errors.Join(fmt.Errorf("nodes: %w", err), sub.Unsubscribe())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		if sub.Drain() == nil { // it fails only where the connection is gone
			select {
			case <-drained:
			case <-time.After(goodbye):
			}
		}
		for range maxAtOnce {
			slots <- struct{}{}
		}
	}()
	return ended, nil
}

// noMore answers for a node that leads no more.
func noMore(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "2")
	http.Error(w, "the node that led does not any more; try again in some seconds", http.StatusServiceUnavailable)
}

func (n *Nodes) answer(ctx context.Context, h http.Handler, msg *nats.Msg) {
	w := &recorder{header: http.Header{}}
	r, err := unpack(msg.Data)
	if err != nil {
		http.Error(w, "forwarded request: "+err.Error(), http.StatusBadRequest)
	} else {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	}
	data := w.pack()
	size := min(int(n.nc.MaxPayload())-1024, piece) // a header is part of a payload
	for last := false; !last; {
		part := data[:min(size, len(data))]
		data = data[len(part):]
		last = len(data) == 0
		out := &nats.Msg{Subject: msg.Reply, Data: part, Header: nats.Header{nodeHeader: {n.o.Name}}}
		if last {
			out.Header.Set(lastHeader, "1")
		}
		if err := n.nc.PublishMsg(out); err != nil {
			n.o.Log.Warn("answer to another node not sent", "error", err)
			return
		}
	}
}

// Forward lets the leader answer a request. Where no node leads, or it does not answer, the answer is 503 and says so.
func (n *Nodes) Forward(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	res, err := n.ask(ctx, w, r)
	if err != nil {
		status, text := http.StatusServiceUnavailable, "this node stands by, and the one that leads does not answer: "+err.Error()
		switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
		case tooLarge, errors.Is(err, nats.ErrMaxPayload):
			status, text = http.StatusRequestEntityTooLarge, "this node stands by, and what you send is too large to be forwarded: send less at once, or ask the node that leads"
		case errors.Is(err, nats.ErrNoResponders):
			text = "this node stands by, and no other one leads now; try again in some seconds"
			w.Header().Set("Retry-After", "2")
		}
		if status == http.StatusServiceUnavailable && n.o.Unwell != nil {
			ctx, cancel := context.WithTimeout(r.Context(), excuse)
			defer cancel()
			if err := n.o.Unwell(ctx); err != nil {
				text += " (" + err.Error() + ")"
			}
		}
		http.Error(w, text, status)
		return
	}
	maps.Copy(w.Header(), res.Header)
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body) // the client went away: nobody to tell
}

// Led reports nil if a node leads and answers, and [nats.ErrNoResponders] if none does or the one that did is about to go.
func (n *Nodes) Led(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://leader/-/healthy", http.NoBody)
	if err != nil {
		return err
	}
	res, err := n.ask(ctx, nil, r)
	if err == nil && res.StatusCode == http.StatusServiceUnavailable {
		err = fmt.Errorf("%w: the node that led does not any more", nats.ErrNoResponders)
	}
	return err
}

func (n *Nodes) ask(ctx context.Context, w http.ResponseWriter, r *http.Request) (*http.Response, error) {
	data, err := pack(w, r)
	if err != nil {
		return nil, err
	}
	inbox := n.nc.NewInbox()
	sub, err := n.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := n.nc.PublishRequest(leaderSubject, inbox, data); err != nil {
		return nil, err
	}
	if err := sub.SetPendingLimits(-1, maxResponse); err != nil {
		return nil, err
	}
	var all bytes.Buffer
	for first := ""; ; {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		if from := msg.Header.Get(nodeHeader); first == "" {
			first = from
		} else if from != first {
			continue
		}
		if all.Write(msg.Data); all.Len() > maxResponse {
			return nil, fmt.Errorf("its answer is larger than %d MB", maxResponse>>20)
		}
		if msg.Header.Get(lastHeader) != "" {
			res, err := http.ReadResponse(bufio.NewReader(&all), r)
			if err == nil && res.StatusCode < http.StatusOK { // no final answer; net/http panics over a status below 100
				return nil, fmt.Errorf("it answers with status %d", res.StatusCode)
			}
			return res, err
		}
	}
}

// pack writes a request as it goes to the leader.
func pack(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return nil, err
	}
	out := r.Clone(r.Context())
	out.Header.Set(clientHeader, r.RemoteAddr) // whoever asks may not say it
	out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err == nil {
		err = errors.Join(out.Write(z), z.Close())
	}
	return b.Bytes(), err
}

// unpack reads it there.
func unpack(data []byte) (*http.Request, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	const headers = 1 << 20
	r, err := http.ReadRequest(bufio.NewReader(io.LimitReader(z, maxRequest+headers)))
	if err != nil {
		return nil, err
	}
	r.RemoteAddr = r.Header.Get(clientHeader)
	r.Header.Del(clientHeader)
	return r, nil
}

// recorder keeps an answer until it is whole.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

func (w *recorder) pack() []byte {
	w.WriteHeader(http.StatusOK)
	res := http.Response{
		StatusCode: w.status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()),
	}
	var b bytes.Buffer
	_ = res.Write(&b) // into memory
	return b.Bytes()
}
