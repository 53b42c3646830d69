package slack

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/slack-go/slack"
)

// Picture is shown in the thread of a group's message.
type Picture struct {
	Name string // of the file: "trace-4bf92f35.png"
	Text string // above it, and all that is shown where pictures may not be uploaded; from outside
	Alt  string // what it shows, for those who do not see it
	PNG  []byte // none: only the text is told

	Again bool // it may be there already: the thread is looked at first, and where that is not allowed nothing is told
}

// ErrNoScope says that the app may not upload files, so that the text was told without the picture.
var ErrNoScope = errors.New("slack: the app has no scope files:write: add it and install the app again to get pictures")

// Illustrate adds a picture to the thread of the message that ref is, quietly: nobody is notified. An incoming webhook
// has no threads, so there nothing is shown. Errors are those of [Sender.Send], and [ErrNoScope].
func (s *Sender) Illustrate(ctx context.Context, ref string, p Picture) error {
	channel, ts, known := parseRef(ref)
	if s.api == nil || !known {
		return nil
	}
	text := esc(p.Text, maxSection)
	if p.Again {
		if told, err := s.told(ctx, channel, ts, text, p.Name); told || err != nil {
			return s.result(channel, err)
		}
	}
	if len(p.PNG) > 0 {
		_, err := s.api.UploadFileContext(ctx, slack.UploadFileParameters{
			Reader: bytes.NewReader(p.PNG), FileSize: len(p.PNG), Filename: p.Name, Title: p.Name, AltTxt: cut(p.Alt, 1000),
			InitialComment: text, Channel: channel, ThreadTimestamp: ts,
		})
		if code := codeOf(err); code != "missing_scope" && code != "no_permission" {
			return s.result(channel, err)
		}
	}
	_, _, err := s.api.PostMessageContext(ctx, channel, slack.MsgOptionTS(ts), slack.MsgOptionText(text, false),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl())
	if err == nil && len(p.PNG) > 0 {
		return ErrNoScope
	}
	return s.result(channel, err)
}

// told reports whether a thread has a message with that text, or a file of that name.
func (s *Sender) told(ctx context.Context, channel, ts, text, file string) (bool, error) {
	p := slack.GetConversationRepliesParameters{ChannelID: channel, Timestamp: ts, Limit: pageSize}
	for range maxPages {
		messages, _, next, err := s.api.GetConversationRepliesContext(ctx, &p)
		if err != nil {
			return false, err
		}
		for i := range messages {
			named := func(f slack.File) bool { return file != "" && f.Name == file }
			if messages[i].Text == text || slices.ContainsFunc(messages[i].Files, named) {
				return true, nil
			}
		}
		if p.Cursor = next; next == "" {
			break
		}
	}
	return false, nil
}
