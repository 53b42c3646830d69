package slack

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	amtemplate "github.com/prometheus/alertmanager/template"
	"github.com/slack-go/slack"

	"alertd"
	"alertd/notifier"
	"alertd/templates"
)

// How much of what templates say is sent. Alertmanager cuts the title alone and leaves the rest to Slack, which refuses
// a message that is too large.
const (
	maxAttachmentTitle = 1024
	maxAttachmentText  = 7000
	maxPretext         = 3000
	maxShort           = 300 // footers, names, titles of fields
	maxFieldValue      = 2000
	maxFields          = 50
	maxActions         = 5 // Slack shows no more
)

// identity is who a message comes from, and how names in it are read.
type identity struct {
	username, iconEmoji, iconURL string
	linkNames                    bool
}

// options are for a new message: an edit cannot change them.
func (id identity) options() []slack.MsgOption {
	var out []slack.MsgOption
	if id.username != "" {
		out = append(out, slack.MsgOptionUsername(id.username))
	}
	if id.iconEmoji != "" {
		out = append(out, slack.MsgOptionIconEmoji(id.iconEmoji))
	}
	if id.iconURL != "" {
		out = append(out, slack.MsgOptionIconURL(id.iconURL))
	}
	if id.linkNames {
		out = append(out, slack.MsgOptionLinkNames(true))
	}
	return out
}

// composed is a notification as it is to be sent.
type composed struct {
	channel string
	from    identity
	whole   message // the group as it is
	reply   message // what is new, for its thread
	remark  error   // in which way this is not what the receiver asks for
}

// compose makes the messages: those of the receiver's templates where it has some that work, else alertd's own. The
// error is that there is no channel to send it to.
func (s *Sender) compose(n *alertd.Notification) (c composed, err error) {
	late := s.cfg.Now().Sub(n.PlannedAt)
	c = composed{channel: s.cfg.Channel, from: identity{linkNames: s.cfg.LinkNames}}
	c.whole, c.reply = renderGroup(n, s.cfg.ExternalURL, late), renderReply(n, s.cfg.ExternalURL)
	var data *amtemplate.Data // made only where something is a template
	expand := func(text string) (string, error) {
		if s.cfg.Templates == nil || !strings.Contains(text, "{{") {
			return text, nil
		}
		if data == nil {
			data = tame(notifier.TemplateData(n, s.cfg.ExternalURL))
			c.note("without a label of the route", s.cfg.Templates.ExpandRouteLabels(data))
		}
		return s.cfg.Templates.Expand(text, data)
	}

	c.channel, err = expand(s.cfg.Channel)
	c.channel = notifier.Line(c.channel, 80)
	if err == nil && c.channel == "" && s.cfg.Channel != "" {
		err = errors.New("it says nothing")
	}
	if err != nil {
		if s.api != nil {
			return c, &alertd.DeliveryError{
				Outcome: alertd.Failed, Class: alertd.FailureTemplate, Err: fmt.Errorf("the template of the channel failed: %w", err),
			}
		}
		c.channel = ""
		c.note("to the webhook's own channel", fmt.Errorf("channel: %w", err))
	}
	for _, t := range []struct {
		key, text string
		to        *string
	}{{"username", s.cfg.Username, &c.from.username}, {"icon_emoji", s.cfg.IconEmoji, &c.from.iconEmoji}, {"icon_url", s.cfg.IconURL, &c.from.iconURL}} {
		v, err := expand(t.text)
		if err != nil {
			c.note("without "+t.key, err)
		}
		*t.to = notifier.Line(v, maxShort)
	}
	if s.cfg.Texts == nil || n.Summary != nil { // which no template for a group says well
		return c, nil
	}
	texts, err := s.cfg.Texts.Expand(expand)
	if err == nil && saysNothing(&texts) {
		err = errors.New("the templates say nothing")
	}
	if err != nil {
		c.note("in alertd's own form", err)
		c.whole, c.reply = c.whole.because(err), c.reply.because(err)
		return c, nil
	}
	m := attachment(&texts, n.Truncated)
	m.plain = c.whole.plain
	c.whole, c.reply = m, m
	return c, nil
}

// note keeps the first reason why a message is not what it should be.
func (c *composed) note(how string, err error) {
	if err != nil && c.remark == nil {
		c.remark = &alertd.DeliveryError{
			Outcome: alertd.Delivered, Class: alertd.FailureTemplate, Err: fmt.Errorf("sent %s, since a template failed: %w", how, err),
		}
	}
}

// because is the message with the reason why it is not the one of the receiver's templates.
func (m message) because(err error) message {
	why := "This is alertd's own message, since the receiver's template failed: " + esc(err.Error(), 400)
	m.plain += "\n" + why
	m.blocks = append(slices.Clone(m.blocks), smallPrint(why))
	return m
}

func saysNothing(t *templates.Slack) bool {
	return strings.TrimSpace(t.MessageText+t.Title+t.Pretext+t.Text+t.Fallback+t.Footer+t.ImageURL+t.ThumbURL) == "" && len(t.Fields) == 0
}

// attachment is the message that Alertmanager would send.
func attachment(t *templates.Slack, truncated int) message {
	a := slack.Attachment{
		Title:      cut(clean(t.Title), maxAttachmentTitle),
		TitleLink:  linkTo(t.TitleLink),
		Pretext:    clip(t.Pretext, maxPretext),
		Text:       clip(t.Text, maxAttachmentText),
		Fallback:   clip(t.Fallback, maxAttachmentTitle),
		CallbackID: clip(t.CallbackID, 255),
		ImageURL:   linkTo(t.ImageURL),
		ThumbURL:   linkTo(t.ThumbURL),
		Footer:     clip(t.Footer, maxShort),
		Color:      notifier.Line(t.Color, 20),
		MarkdownIn: t.MrkdwnIn,
	}
	if truncated > 0 {
		more := fmt.Sprintf("and %d more", truncated)
		if a.Footer != "" {
			more = a.Footer + " · " + more
		}
		a.Footer = more
	}
	for _, f := range t.Fields[:min(maxFields, len(t.Fields))] {
		short := t.ShortFields
		if f.Short != nil {
			short = *f.Short
		}
		a.Fields = append(a.Fields, slack.AttachmentField{Title: clip(f.Title, maxShort), Value: clip(f.Value, maxFieldValue), Short: short})
	}
	for _, b := range t.Actions[:min(maxActions, len(t.Actions))] {
		action := slack.AttachmentAction{
			Type: slack.ActionType(b.Type), Text: clip(b.Text, maxShort), URL: linkTo(b.URL), Style: b.Style,
			Name: clip(b.Name, maxShort), Value: clip(b.Value, maxFieldValue),
		}
		if c := b.Confirm; c != nil {
			action.Confirm = &slack.ConfirmationField{
				Title: clip(c.Title, maxShort), Text: clip(c.Text, maxShort), OkText: clip(c.OKText, 30), DismissText: clip(c.DismissText, 30),
			}
		}
		a.Actions = append(a.Actions, action)
	}
	return message{text: clip(t.MessageText, maxText), attachments: []slack.Attachment{a}}
}

// clip shortens text that may hold markup, best at the end of a line, so that no link is cut in two.
func clip(s string, limit int) string {
	s = clean(s)
	short := cut(s, limit)
	if short == s {
		return s
	}
	if i := strings.LastIndexByte(short, '\n'); i > len(short)/2 {
		return short[:i] + "\n…"
	}
	return short
}

// clean drops what no text has a use for.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// linkTo is a URL as Slack takes it, or "". What no URL may have, people's templates have all the same, mostly behind the #
// of a link to a silence; with it encoded, what they have encoded themselves stays as it is.
func linkTo(u string) string {
	var b strings.Builder
	for i := range len(u) {
		if c := u[i]; c < utf8.RuneSelf && !strings.ContainsRune(" \"<>\\^`{|}", rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return notifier.Link(b.String())
}

// mention is what a label may hold that calls one person or one group of them: people do that on purpose.
var mention = regexp.MustCompile(`<(@[UW][A-Z0-9]+|!subteam\^[A-Z0-9]+)(\|[^<>]*)?>`)

// tame takes the markup out of the labels, whose values come from whatever is measured, and of what the annotations
// repeat of them: else anybody who can name a thing could call the whole channel. Texts and annotations are the
// operator's own, and keep theirs.
func tame(d *amtemplate.Data) *amtemplate.Data {
	for i := range d.Alerts {
		a := &d.Alerts[i]
		for name, value := range a.Labels {
			harmless := tamed(value)
			if harmless == value {
				continue
			}
			a.Labels[name] = harmless
			for k, v := range a.Annotations {
				a.Annotations[k] = strings.ReplaceAll(v, value, harmless)
			}
			for k, v := range d.CommonAnnotations {
				d.CommonAnnotations[k] = strings.ReplaceAll(v, value, harmless)
			}
		}
	}
	for _, m := range []amtemplate.KV{d.CommonLabels, d.GroupLabels} {
		for k, v := range m {
			m[k] = tamed(v)
		}
	}
	return d
}

func tamed(s string) string {
	if !strings.Contains(s, "<") {
		return s
	}
	var b strings.Builder
	from := 0
	for _, at := range append(mention.FindAllStringIndex(s, -1), []int{len(s), len(s)}) {
		b.WriteString(unmark.Replace(s[from:at[0]]))
		b.WriteString(s[at[0]:at[1]])
		from = at[1]
	}
	return b.String()
}

var unmark = strings.NewReplacer("<", "&lt;", ">", "&gt;")
