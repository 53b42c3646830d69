package slack

import (
	"bytes"
	"context"
	"errors"

	"github.com/slack-go/slack"
)

// Picture is shown in the thread of a group's message.
type Picture struct {
	Name string // of the file: "trace-4bf92f35.png"
	Text string // above it, and all that is shown where pictures may not be uploaded; from outside
	Alt  string // what it shows, for those who do not see it
	PNG  []byte // none: only the text is told
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
