// Package slack delivers notifications to a Slack channel.
//
// With a bot token a group of alerts is one message: it is posted once, edited to the group's present state on every
// change, and what is new is told in its thread, also in the channel where it deserves a bell (an edit
// notifies nobody). Every post carries the notification's id as metadata, so that [Sender.Find] can tell
// whether one arrived whose outcome is unknown.
//
// With an incoming webhook, which returns no message id, each notification is a message of its own.
package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"alertd"
	"alertd/notifier"
	"alertd/templates"

	"github.com/slack-go/slack"
)

// Config configures a [Sender].
type Config struct {
	// APIURL is the base of Slack's Web API, by default https://slack.com/api/. Without a Token it is the URL of an
	// incoming webhook, and a secret.
	APIURL      string
	Token       string // of a bot: "xoxb-…", with the scopes chat:write and channels:history
	Channel     string // id or name; the id is better, since only with it a first message can be looked for
	ExternalURL string // alertd's own page; "" where it has none

	Username, IconEmoji, IconURL string // "" is the app's own
	LinkNames                    bool   // names of people and channels in texts become links

	// Templates expand the Channel, who it comes from, and the Texts. Without (nil) all of them are what they say.
	Templates *templates.Set
	Texts     *templates.Slack // nil: alertd's own message

	HTTPClient *http.Client
	Now        func() time.Time // default time.Now
}

// Sender posts to one channel. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *http.Client
	api    *slack.Client // nil: incoming webhook
	hide   []string      // what no error may show
	seen   sync.Map      // of channels' names, to their ids, once an answer named them
}

const (
	defaultAPI = "https://slack.com/api/"

	// Metadata is readable by every app of the workspace: it holds ids only.
	eventPosted = "alertd_notification" // this message is that notification
	eventEdited = "alertd_state"        // this message shows the state as of that notification
	keyID       = "id"
)

// New checks the configuration. No error shows the token or the URL of a webhook.
func New(c Config) (*Sender, error) {
	s := &Sender{cfg: c, client: notifier.Client(c.HTTPClient)}
	if s.cfg.Now == nil {
		s.cfg.Now = time.Now
	}
	if c.Token == "" && c.APIURL == "" {
		return nil, errors.New("slack: set a bot token (xoxb-…), or as api_url the URL of an incoming webhook")
	}
	if c.Token != "" && c.APIURL == "" {
		c.APIURL = defaultAPI
	}
	u, err := url.Parse(c.APIURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("slack: api_url must begin with https:// and name a host")
	}
	if c.Token == "" {
		s.hide = []string{c.APIURL, u.RequestURI(), u.EscapedPath()}
		return s, nil
	}
	if c.Channel == "" {
		return nil, errors.New("slack: a bot token needs a channel, best its id, as in channel: C0123456789")
	}
	s.hide = []string{c.Token}
	// People who come from Alertmanager have the whole method in their api_url.
	base := strings.TrimSuffix(strings.TrimSuffix(c.APIURL, "/"), "/chat.postMessage") + "/"
	s.api = slack.New(c.Token, slack.OptionAPIURL(base), slack.OptionHTTPClient(s.client))
	return s, nil
}

// Send posts the notification: a new message for a new group, else an edit and a reply in its thread. The reference
// is "CHANNEL:TS" of the group's message. It changes where the message can no longer be edited: then the group begins
// a new one.
func (s *Sender) Send(ctx context.Context, n alertd.Notification) (string, error) {
	c, err := s.compose(&n)
	if err != nil {
		return "", s.result(c.channel, err)
	}
	ref, err := s.deliver(ctx, &n, c)
	if err != nil {
		return "", s.result(c.channel, err)
	}
	return ref, s.result(c.channel, c.remark)
}

func (s *Sender) deliver(ctx context.Context, n *alertd.Notification, c composed) (ref string, err error) {
	if s.api == nil {
		return "", s.postHook(ctx, c)
	}
	channel, ts, known := parseRef(n.Ref)
	if !known || n.Collective() {
		return s.postRoot(ctx, n, c)
	}
	err = orPlain(c.whole, func(m message) error {
		_, _, _, err := s.api.UpdateMessageContext(ctx, channel, ts, m.options(eventEdited, n.ID)...)
		return err
	})
	if err == nil {
		err = orPlain(c.reply, func(m message) error {
			options := append(m.options(eventPosted, n.ID), slack.MsgOptionTS(ts), broadcast(n))
			_, _, err := s.api.PostMessageContext(ctx, channel, append(options, c.from.options()...)...)
			return err
		})
	} else if de := errorOf(err); de.Outcome == alertd.Unknown {
		de.Outcome = alertd.Retry // to edit twice does no harm
		return "", de
	}
	if gone(err) {
		return s.postRoot(ctx, n, c)
	}
	return n.Ref, err
}

func (s *Sender) postRoot(ctx context.Context, n *alertd.Notification, c composed) (ref string, err error) {
	err = orPlain(c.whole, func(m message) error {
		options := append(m.options(eventPosted, n.ID), c.from.options()...)
		channel, ts, err := s.api.PostMessageContext(ctx, c.channel, options...)
		if err == nil {
			s.seen.Store(c.channel, channel)
			ref = channel + ":" + ts
		}
		return err
	})
	return ref, err
}

// orPlain makes a call, and where Slack refuses the message for its form, once more with the same in plain words.
func orPlain(m message, do func(message) error) error {
	err := do(m)
	if err != nil && codeClass(codeOf(err)) == alertd.FailurePayload {
		return do(m.asPlain())
	}
	return err
}

// broadcast shows a reply in the channel, too, where it deserves a bell: something new fires, or nobody has
// ended it yet.
func broadcast(n *alertd.Notification) slack.MsgOption {
	if bell(n) {
		return slack.MsgOptionBroadcast()
	}
	return slack.MsgOptionCompose()
}

// Find looks for the notification among the channel's messages since a minute before it was planned. It needs
// the channel's id and the scope channels:history; without them, the error's outcome is Failed. An incoming webhook
// cannot look: nothing is ever found.
func (s *Sender) Find(ctx context.Context, n alertd.Notification) (ref string, found bool, err error) {
	if s.api == nil {
		return "", false, nil
	}
	oldest := fmt.Sprintf("%d.000000", n.PlannedAt.Add(-time.Minute).Unix())
	if channel, ts, known := parseRef(n.Ref); known && !n.Collective() {
		found, err := s.findReply(ctx, channel, ts, oldest, n.ID)
		if found {
			return n.Ref, true, nil
		}
		if err != nil && !gone(err) {
			return "", false, s.result(channel, err)
		}
	}
	c, err := s.compose(&n)
	if err != nil {
		return "", false, s.result(c.channel, err)
	}
	channel, err := s.channelID(c.channel)
	if err != nil {
		return "", false, err
	}
	ts, err := s.findRoot(ctx, channel, oldest, n.ID)
	if err != nil || ts == "" {
		return "", false, s.result(c.channel, err)
	}
	return channel + ":" + ts, true, nil
}

var isID = regexp.MustCompile(`^[CGD][A-Z0-9]+$`)

// channelID is the id of a channel, as far as it is known.
func (s *Sender) channelID(channel string) (string, error) {
	if isID.MatchString(channel) {
		return channel, nil
	}
	if id, ok := s.seen.Load(channel); ok {
		return id.(string), nil
	}
	return "", &alertd.DeliveryError{
		Outcome: alertd.Failed, Class: alertd.FailureConfig,
		Err: fmt.Errorf("slack: cannot look for a message in %s by the channel's name: configure its id", channel),
	}
}

const (
	pageSize = 200
	maxPages = 5
)

func (s *Sender) findRoot(ctx context.Context, channel, oldest, id string) (ts string, err error) {
	p := slack.GetConversationHistoryParameters{ChannelID: channel, Oldest: oldest, Limit: pageSize, IncludeAllMetadata: true}
	for range maxPages {
		r, err := s.api.GetConversationHistoryContext(ctx, &p)
		if err != nil {
			return "", err
		}
		if i := slices.IndexFunc(r.Messages, func(m slack.Message) bool { return is(m, id) }); i >= 0 {
			return r.Messages[i].Timestamp, nil
		}
		if p.Cursor = r.ResponseMetaData.NextCursor; p.Cursor == "" {
			break
		}
	}
	return "", nil
}

func (s *Sender) findReply(ctx context.Context, channel, ts, oldest, id string) (bool, error) {
	p := slack.GetConversationRepliesParameters{ChannelID: channel, Timestamp: ts, Oldest: oldest, Limit: pageSize, IncludeAllMetadata: true}
	for range maxPages {
		messages, _, next, err := s.api.GetConversationRepliesContext(ctx, &p)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(messages, func(m slack.Message) bool { return is(m, id) }) {
			return true, nil
		}
		if p.Cursor = next; next == "" {
			break
		}
	}
	return false, nil
}

// is reports whether a message is that notification, and not one that was edited because of it.
func is(m slack.Message, id string) bool {
	return m.Metadata.EventType == eventPosted && m.Metadata.EventPayload[keyID] == id
}

// parseRef reads "CHANNEL:TS".
func parseRef(ref string) (channel, ts string, ok bool) {
	channel, ts, ok = strings.Cut(ref, ":")
	return channel, ts, ok && channel != "" && ts != ""
}

// hookBody is what an incoming webhook takes. Those that belong to an app ignore the channel and who it comes from.
type hookBody struct {
	Text        string             `json:"text"`
	Blocks      []slack.Block      `json:"blocks,omitempty"`
	Attachments []slack.Attachment `json:"attachments,omitempty"`
	UnfurlLinks bool               `json:"unfurl_links"`
	UnfurlMedia bool               `json:"unfurl_media"`
	Channel     string             `json:"channel,omitempty"`
	Username    string             `json:"username,omitempty"`
	IconEmoji   string             `json:"icon_emoji,omitempty"`
	IconURL     string             `json:"icon_url,omitempty"`
	LinkNames   bool               `json:"link_names,omitempty"`
}

func (s *Sender) postHook(ctx context.Context, c composed) error {
	return orPlain(c.whole, func(m message) error {
		body, err := json.Marshal(hookBody{
			Text: m.text, Blocks: m.blocks, Attachments: m.attachments, Channel: c.channel,
			Username: c.from.username, IconEmoji: c.from.iconEmoji, IconURL: c.from.iconURL, LinkNames: c.from.linkNames,
		})
		if err != nil { // cannot be: blocks hold texts only
			return &alertd.DeliveryError{Outcome: alertd.Failed, Class: alertd.FailurePayload, Err: err}
		}
		header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"alertd"}}
		answer, de := notifier.Post(ctx, s.client, s.cfg.APIURL, header, body, s.cfg.Now())
		switch {
		case de != nil:
			return de
		case answer.Status >= 200 && answer.Status < 300:
			return nil
		case answer.Status < 500 && answer.Status != http.StatusTooManyRequests && codeClass(firstWord(answer.Body)) != "":
			return slack.SlackErrorResponse{Err: firstWord(answer.Body)}
		default:
			return notifier.StatusError(answer)
		}
	})
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return word
}

// result makes a *alertd.DeliveryError of any error, and nil of nil.
func (s *Sender) result(channel string, err error) error {
	if err == nil {
		return nil
	}
	de := errorOf(err)
	where := "slack"
	if s.api != nil {
		where += " " + channel
	}
	de.Err = notifier.Redact(fmt.Errorf("%s: %w", where, de.Err), s.hide...)
	return de
}
