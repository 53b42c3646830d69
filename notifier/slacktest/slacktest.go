// Package slacktest is a Slack for tests and demonstrations: a server that keeps channels, threads and edits,
// enforces Slack's limits, checks the token, and fails when it is told to. It shows what people would see.
//
// It speaks chat.postMessage, chat.update, conversations.history, conversations.replies, files uploaded in the present
// way, auth.test and incoming webhooks: what alertd uses. Where Slack is strict it is strict: history wants a channel's id, not its name;
// timestamps are unique and are identities; metadata is returned only when asked for.
package slacktest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
)

// Token is the bot token that the server accepts.
const Token = "xoxb-1-slacktest"

// Hook is the method name of incoming webhooks in a [Fault] and in [Server.Calls].
const Hook = "hook"

// Server is the fake. It is an http.Handler and safe for concurrent use.
type Server struct {
	mu       sync.Mutex
	channels []*channel
	faults   []Fault
	calls    []string
	lastTS   int64 // microseconds
	files    map[string]*File

	http     *http.Server
	listener net.Listener
}

// Fault makes one call fail. The zero value changes nothing.
type Fault struct {
	Method     string        // "chat.postMessage", …, or Hook; "": any
	Delay      time.Duration // before the call is looked at
	After      bool          // the call takes effect, and then the fault hits
	Status     int           // answer with this HTTP status
	RetryAfter string        // its header Retry-After
	Error      string        // answer ok:false with this error; for a webhook, the body
	Drop       bool          // close the connection without an answer
}

// Message is what people see of one message.
type Message struct {
	TS          string
	Text        string            // the fallback: notifications, screen readers
	Blocks      []json.RawMessage // what is shown instead
	Attachments []json.RawMessage
	Metadata    json.RawMessage
	Username    string // who it seems to come from; "": the app
	Icon        string // its emoji or URL; "": the app's
	Edits       int
	Broadcast   bool // a reply that is shown in the channel, too
	Files       []File
	Replies     []Message
}

type channel struct {
	id, name string
	archived bool
	messages []*message // roots and replies, by time
}

type message struct {
	Message
	thread string // ts of the root; "": it is one
}

// New returns a server without channels that listens nowhere.
func New() *Server { return &Server{} }

// Start returns a server with one channel, "ops", that listens on addr, such as "127.0.0.1:0". The caller calls Close.
func Start(addr string) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("slacktest: %w", err)
	}
	s := New()
	s.AddChannel("ops")
	s.listener = l
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	go s.http.Serve(l)
	return s, nil
}

// Close ends all connections.
func (s *Server) Close() error { return s.http.Close() }

// URL is where a started server listens, with a slash at the end.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + "/" }

// APIURL is the base of the Web API, for api_url.
func (s *Server) APIURL() string { return s.URL() + "api/" }

// HookURL is the incoming webhook of a channel.
func (s *Server) HookURL(name string) string {
	return s.URL() + "services/T0/B0/" + strings.TrimPrefix(name, "#")
}

// AddChannel creates a channel and returns its id.
func (s *Server) AddChannel(name string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id = "C0" + strings.ToUpper(name)
	s.channels = append(s.channels, &channel{id: id, name: name})
	return id
}

// Archive makes a channel refuse messages.
func (s *Server) Archive(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.find(name); c != nil {
		c.archived = true
	}
}

// Delete removes a message, as a person would.
func (s *Server) Delete(name, ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.find(name); c != nil {
		c.messages = slices.DeleteFunc(c.messages, func(m *message) bool { return m.TS == ts })
	}
}

// Fail queues faults. Each hits the first call that matches it and is then gone.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Calls returns the methods that were called, in order.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Messages returns the root messages of a channel (its id, or its name with or without #), oldest first, with
// their replies.
func (s *Server) Messages(name string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(name)
	if c == nil {
		return nil
	}
	var out []Message
	for _, m := range c.messages {
		if m.thread != "" {
			if i := slices.IndexFunc(out, func(r Message) bool { return r.TS == m.thread }); i >= 0 {
				out[i].Replies = append(out[i].Replies, m.Message)
				continue
			}
		}
		out = append(out, m.Message)
	}
	return out
}

// ServeHTTP answers as Slack does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/upload/") {
		s.upload(w, r)
		return
	}
	method, isAPI := strings.CutPrefix(r.URL.Path, "/api/")
	if !isAPI {
		method = Hook
	}
	form, err := arguments(r, isAPI)
	if err != nil {
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	}
	fault := s.take(method)
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
			return
		}
	}
	if !fault.After && fault.hit(w, isAPI) {
		return
	}
	reply := s.dispatch(method, r, form)
	if fault.After && fault.hit(w, isAPI) {
		return
	}
	reply.write(w, isAPI)
}

func (s *Server) take(method string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, method)
	i := slices.IndexFunc(s.faults, func(f Fault) bool { return f.Method == "" || f.Method == method })
	if i < 0 {
		return Fault{}
	}
	f := s.faults[i]
	s.faults = slices.Delete(s.faults, i, i+1)
	return f
}

// hit answers with the fault, if there is one.
func (f Fault) hit(w http.ResponseWriter, isAPI bool) bool {
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler) // net/http's way to close a connection without an answer
	case f.Status != 0:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		http.Error(w, cmp.Or(f.Error, http.StatusText(f.Status)), f.Status)
		return true
	case f.Error != "":
		refuse(f.Error).write(w, isAPI)
		return true
	}
	return false
}

// answer is an answer of the Web API, or of a webhook.
type answer map[string]any

func refuse(err string) answer { return answer{"ok": false, "error": err} }

func (a answer) write(w http.ResponseWriter, isAPI bool) {
	if isAPI {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		json.NewEncoder(w).Encode(a)
		return
	}
	text, failed := a["error"].(string)
	if !failed {
		io.WriteString(w, "ok")
		return
	}
	// A webhook's errors are texts with a status of their own.
	status := map[string]int{"no_service": 404, "channel_not_found": 404, "is_archived": 410}[text]
	if text == "is_archived" {
		text = "channel_is_archived"
	}
	http.Error(w, text, cmp.Or(status, http.StatusBadRequest))
}

const maxBody = 1 << 20

// arguments reads a form, or a JSON body, as a form: values that are not strings stay JSON.
func arguments(r *http.Request, isAPI bool) (url.Values, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err != nil || isAPI {
			return form, err
		}
		body = []byte(form.Get("payload"))
	}
	form := url.Values{}
	if len(body) == 0 {
		return form, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, err
	}
	for k, v := range object {
		var text string
		if json.Unmarshal(v, &text) != nil {
			text = string(v)
		}
		form.Set(k, text)
	}
	return form, nil
}

func (s *Server) dispatch(method string, r *http.Request, form url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if method == Hook {
		place := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		if len(place) != 4 || place[0] != "services" {
			return refuse("no_service")
		}
		form.Set("channel", place[3])
		return s.post(form)
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch cmp.Or(token, form.Get("token")) {
	case "":
		return refuse("not_authed")
	case Token:
	default:
		return refuse("invalid_auth")
	}
	switch method {
	case "auth.test":
		return answer{"ok": true, "team": "slacktest", "user": "alertd", "team_id": "T0", "user_id": "U0", "bot_id": "B0"}
	case "chat.postMessage":
		return s.post(form)
	case "chat.update":
		return s.update(form)
	case "conversations.history":
		return s.history(form)
	case "conversations.replies":
		return s.replies(form)
	case "files.getUploadURLExternal":
		return s.uploadURL(r, form)
	case "files.completeUploadExternal":
		return s.completeUpload(form)
	default:
		return refuse("unknown_method")
	}
}

// find returns the channel with that id or name.
func (s *Server) find(name string) *channel {
	name = strings.TrimPrefix(name, "#")
	for _, c := range s.channels {
		if c.id == name || c.name == name {
			return c
		}
	}
	return nil
}

func (s *Server) post(form url.Values) answer {
	c := s.find(form.Get("channel"))
	switch {
	case c == nil:
		return refuse("channel_not_found")
	case c.archived:
		return refuse("is_archived")
	}
	m := &message{Message: Message{TS: s.nextTS()}}
	if err := m.set(form); err != "" {
		return refuse(err)
	}
	if m.Plain() == "" {
		return refuse("no_text")
	}
	if rs := []rune(m.Text); len(rs) > 40_000 {
		m.Text = string(rs[:40_000])
	}
	m.Username, m.Icon = form.Get("username"), cmp.Or(form.Get("icon_emoji"), form.Get("icon_url"))
	if root := form.Get("thread_ts"); root != "" {
		if p := c.message(root); p != nil { // a reply to a deleted message is posted without a thread
			m.thread = cmp.Or(p.thread, p.TS)
			m.Broadcast = form.Get("reply_broadcast") == "true"
		}
	}
	c.messages = append(c.messages, m)
	return answer{"ok": true, "channel": c.id, "ts": m.TS, "message": m.wire(true)}
}

func (s *Server) update(form url.Values) answer {
	c := s.find(form.Get("channel"))
	if c == nil {
		return refuse("channel_not_found")
	}
	m := c.message(form.Get("ts"))
	switch {
	case c.archived:
		return refuse("is_archived")
	case m == nil:
		return refuse("message_not_found")
	case units(form.Get("text")) > 4000:
		return refuse("msg_too_long")
	}
	next := *m
	if err := next.set(form); err != "" {
		return refuse(err)
	}
	next.Edits++
	*m = next
	return answer{"ok": true, "channel": c.id, "ts": m.TS, "text": m.Text, "message": m.wire(true)}
}

// history lists roots and broadcast replies, newest first.
func (s *Server) history(form url.Values) answer {
	c := s.byID(form.Get("channel"))
	if c == nil {
		return refuse("channel_not_found")
	}
	var found []*message
	for _, m := range slices.Backward(c.messages) {
		if (m.thread == "" || m.Broadcast) && within(m, form) {
			found = append(found, m)
		}
	}
	return page(found, form)
}

// replies lists a thread, the root first.
func (s *Server) replies(form url.Values) answer {
	c := s.byID(form.Get("channel"))
	if c == nil {
		return refuse("channel_not_found")
	}
	root := form.Get("ts")
	if c.message(root) == nil {
		return refuse("thread_not_found")
	}
	var found []*message
	for _, m := range c.messages {
		if m.TS == root || (m.thread == root && within(m, form)) {
			found = append(found, m)
		}
	}
	return page(found, form)
}

func (s *Server) byID(id string) *channel {
	if c := s.find(id); c != nil && c.id == id {
		return c
	}
	return nil
}

func within(m *message, form url.Values) bool {
	oldest, latest := form.Get("oldest"), form.Get("latest")
	after := oldest == "" || seconds(m.TS) > seconds(oldest)
	before := latest == "" || seconds(m.TS) < seconds(latest)
	return after && before
}

func seconds(ts string) float64 {
	f, _ := strconv.ParseFloat(ts, 64)
	return f
}

// page cuts a list at the limit; the cursor is the position.
func page(all []*message, form url.Values) answer {
	start, _ := strconv.Atoi(form.Get("cursor"))
	limit, _ := strconv.Atoi(form.Get("limit"))
	limit = min(cmp.Or(limit, 100), 999)
	start = min(max(start, 0), len(all))
	end := min(start+limit, len(all))
	metadata := form.Get("include_all_metadata")
	messages := []answer{}
	for _, m := range all[start:end] {
		messages = append(messages, m.wire(metadata == "1" || metadata == "true"))
	}
	a := answer{"ok": true, "messages": messages, "has_more": end < len(all)}
	if end < len(all) {
		a["response_metadata"] = answer{"next_cursor": strconv.Itoa(end)}
	}
	return a
}

// wire is the message as the API returns it.
func (m *message) wire(metadata bool) answer {
	a := answer{"type": "message", "ts": m.TS, "text": m.Text, "bot_id": "B0"}
	if len(m.Blocks) > 0 {
		a["blocks"] = m.Blocks
	}
	if len(m.Attachments) > 0 {
		a["attachments"] = m.Attachments
	}
	if m.thread != "" {
		a["thread_ts"] = m.thread
	}
	if len(m.Files) > 0 {
		files := []answer{}
		for _, f := range m.Files {
			files = append(files, answer{"id": "F0", "name": f.Name, "title": f.Name})
		}
		a["files"] = files
	}
	if metadata && len(m.Metadata) > 0 {
		a["metadata"] = m.Metadata
	}
	return a
}

// nextTS is unique and rises, as an identity must.
func (s *Server) nextTS() string {
	s.lastTS = max(time.Now().UnixMicro(), s.lastTS+1)
	return fmt.Sprintf("%d.%06d", s.lastTS/1e6, s.lastTS%1e6)
}

func (c *channel) message(ts string) *message {
	for _, m := range c.messages {
		if m.TS == ts {
			return m
		}
	}
	return nil
}

// set takes what the form names and checks it as Slack does; what it does not name stays.
func (m *message) set(form url.Values) (refusal string) {
	if form.Has("text") {
		m.Text = form.Get("text")
	}
	total := 0
	for name, field := range map[string]*[]json.RawMessage{"blocks": &m.Blocks, "attachments": &m.Attachments} {
		if !form.Has(name) {
			continue
		}
		*field = nil
		if json.Unmarshal([]byte(form.Get(name)), field) != nil {
			return "invalid_" + name
		}
	}
	if len(m.Attachments) > 100 {
		return "too_many_attachments"
	}
	blocks := slices.Clone(m.Blocks)
	for _, a := range m.Attachments {
		var inner struct{ Blocks []json.RawMessage }
		if json.Unmarshal(a, &inner) != nil {
			return "invalid_attachments"
		}
		blocks = append(blocks, inner.Blocks...)
	}
	if len(blocks) > 50 {
		return "invalid_blocks"
	}
	for _, b := range blocks {
		n, ok := checkBlock(b)
		if !ok {
			return "invalid_blocks"
		}
		total += n
	}
	if total > 11_000 { // undocumented; observed a little above
		return "msg_blocks_too_long"
	}
	if form.Has("metadata") {
		var md struct {
			EventType    string         `json:"event_type"`
			EventPayload map[string]any `json:"event_payload"`
		}
		raw := form.Get("metadata")
		switch {
		case json.Unmarshal([]byte(raw), &md) != nil || md.EventType == "":
			return "invalid_metadata_format"
		case len(raw) > 16<<10:
			return "metadata_too_large"
		}
		m.Metadata = json.RawMessage(raw)
	}
	return ""
}

type text struct{ Type, Text string }

// within its length, a text object is right.
func (t *text) fits(limit int, kinds ...string) bool {
	n := units(t.Text)
	return slices.Contains(kinds, t.Type) && n >= 1 && n <= limit
}

// checkBlock returns how much text a block has, and whether Slack takes it.
func checkBlock(raw json.RawMessage) (total int, ok bool) {
	var b struct {
		Type     string
		Text     *text
		Fields   []text
		Elements []json.RawMessage
	}
	if json.Unmarshal(raw, &b) != nil {
		return 0, false
	}
	count := func(t *text) { total += units(t.Text) }
	switch b.Type {
	case "divider":
		return 0, true
	case "header":
		if b.Text == nil || !b.Text.fits(150, "plain_text") {
			return 0, false
		}
		count(b.Text)
	case "section":
		if (b.Text == nil && len(b.Fields) == 0) || len(b.Fields) > 10 {
			return 0, false
		}
		if b.Text != nil {
			if !b.Text.fits(3000, "plain_text", "mrkdwn") {
				return 0, false
			}
			count(b.Text)
		}
		for i := range b.Fields {
			if !b.Fields[i].fits(2000, "plain_text", "mrkdwn") {
				return 0, false
			}
			count(&b.Fields[i])
		}
	case "context":
		if len(b.Elements) < 1 || len(b.Elements) > 10 {
			return 0, false
		}
		for _, e := range b.Elements {
			var t text
			if json.Unmarshal(e, &t) != nil || !t.fits(3000, "plain_text", "mrkdwn") {
				return 0, false
			}
			count(&t)
		}
	case "actions":
		if len(b.Elements) < 1 || len(b.Elements) > 25 {
			return 0, false
		}
		for _, e := range b.Elements {
			var link button
			if json.Unmarshal(e, &link) != nil || !link.fits() {
				return 0, false
			}
			count(&link.Text)
		}
	default: // alertd uses no other
		return 0, false
	}
	return total, true
}

// button is one that opens a page.
type button struct {
	Type     string
	Text     text
	URL      string
	ActionID string `json:"action_id"`
}

func (b *button) fits() bool {
	return b.Type == "button" && b.Text.fits(75, "plain_text") && len(b.URL) <= 3000 && len(b.ActionID) <= 255
}

// units is how Slack counts characters, at its strictest: UTF-16 code units.
func units(s string) int { return len(utf16.Encode([]rune(s))) }

// Plain is what a person reads in a message: its blocks and attachments, else its text, without formatting.
func (m Message) Plain() string {
	lines := blockLines(m.Blocks)
	if len(m.Blocks) == 0 && len(m.Attachments) > 0 && m.Text != "" && !hasBlocks(m.Attachments) {
		lines = append(lines, m.Text) // above an attachment of the older kind it is shown
	}
	for _, raw := range m.Attachments {
		lines = append(lines, readAttachment(raw).lines()...)
	}
	if len(lines) == 0 {
		lines = append(lines, m.Text)
	}
	return strings.Join(lines, "\n")
}

func blockLines(blocks []json.RawMessage) (lines []string) {
	for _, raw := range blocks {
		var b struct {
			Text     text
			Fields   []text
			Elements []text
		}
		var buttons struct{ Elements []button }
		if json.Unmarshal(raw, &buttons) == nil && len(buttons.Elements) > 0 {
			for _, e := range buttons.Elements {
				lines = append(lines, "["+e.Text.Text+"] "+e.URL)
			}
			continue
		}
		_ = json.Unmarshal(raw, &b) // it was checked when it came
		for _, t := range append(append([]text{b.Text}, b.Fields...), b.Elements...) {
			if t.Text != "" {
				lines = append(lines, t.Text)
			}
		}
	}
	return lines
}

// attachment is one of either kind: with blocks, or with texts of its own.
type attachment struct {
	Blocks                       []json.RawMessage
	Pretext, Title, Text, Footer string
	TitleLink                    string `json:"title_link"`
	Fields                       []struct{ Title, Value string }
	Actions                      []struct{ Text, URL string }
}

func readAttachment(raw json.RawMessage) (a attachment) {
	_ = json.Unmarshal(raw, &a) // it was checked when it came
	return a
}

func hasBlocks(all []json.RawMessage) bool {
	return slices.ContainsFunc(all, func(raw json.RawMessage) bool { return len(readAttachment(raw).Blocks) > 0 })
}

// lines are in the order in which Slack shows them.
func (a attachment) lines() []string {
	lines := []string{a.Pretext, a.Title}
	if a.Title != "" && a.TitleLink != "" {
		lines[1] = "<" + a.TitleLink + "|" + a.Title + ">"
	}
	lines = append(lines, a.Text)
	for _, f := range a.Fields {
		lines = append(lines, f.Title+": "+f.Value)
	}
	for _, b := range a.Actions {
		lines = append(lines, "["+b.Text+"] "+b.URL)
	}
	lines = append(append(lines, a.Footer), blockLines(a.Blocks)...)
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}
