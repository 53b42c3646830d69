package slack

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"alertd"
	"alertd/notifier"

	"github.com/slack-go/slack"
)

// Limits of Slack, and how far we go. Slack counts UTF-16 code units here and characters there; we count the larger.
const (
	maxBlocks  = 50
	maxHeader  = 150
	maxSection = 3000
	// Slack refuses messages whose blocks hold somewhat more than 10,000 characters, and does not say how many.
	maxTotal = 9000
	maxText  = 3500 // an edit with more than 4000 is refused
	maxURL   = 800  // longer ones are left out: they would crowd out the other alerts

	maxButtonURL = 3000

	details     = 5  // alerts told at length
	perSection  = 10 // lines in one section, or Slack folds it away
	maxLines    = 30 // alerts told in a line, firing and resolved each
	lateAfter   = 2 * time.Minute
	newestShown = 3
)

// message is one Slack message in both forms.
type message struct {
	text        string // notifications, screen readers
	plain       string // all of it, where the blocks are refused
	blocks      []slack.Block
	attachments []slack.Attachment
}

// asPlain is the same message without blocks.
func (m message) asPlain() message { return message{text: m.plain, plain: m.plain} }

// options are always complete: an edit keeps what it does not name.
func (m message) options(event, id string) []slack.MsgOption {
	return []slack.MsgOption{
		slack.MsgOptionText(m.text, false),
		slack.MsgOptionBlocks(m.blocks...),
		slack.MsgOptionAttachments(append([]slack.Attachment{}, m.attachments...)...),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: event, EventPayload: map[string]any{keyID: id}}),
		slack.MsgOptionDisableLinkUnfurl(),
		slack.MsgOptionDisableMediaUnfurl(),
	}
}

// bell reports whether a change deserves to be heard: anything but good news.
func bell(n *alertd.Notification) bool {
	switch n.Reason {
	case alertd.ReasonSomeResolved, alertd.ReasonAllResolved, alertd.ReasonAcked, alertd.ReasonUnacked:
		return false
	}
	return true
}

// layout collects blocks within Slack's limits.
type layout struct {
	n      *alertd.Notification
	which  func(*alertd.Alert) string // what tells an alert from the others
	step   string                     // what all firing alerts say to do next, told once
	book   string                     // their runbook, told once
	boards map[string]bool            // dashboards that are linked already
	blocks []slack.Block
	total  int
	left   int // alerts that found no room
}

func newLayout(n *alertd.Notification) *layout {
	return &layout{n: n, which: notifier.Which(n), boards: map[string]bool{}}
}

// room is kept for the footer.
const footerRoom = 1000

// section adds a section, or reports that there is no room for it.
func (l *layout) section(text string) bool {
	size := units(text)
	if text == "" || size > maxSection || l.total+size > maxTotal-maxHeader-footerRoom || len(l.blocks) >= maxBlocks-2 {
		return text == ""
	}
	l.total += size
	l.blocks = append(l.blocks, slack.NewSectionBlock(mrkdwn(text), nil, nil))
	return true
}

func mrkdwn(text string) *slack.TextBlockObject {
	t := slack.NewTextBlockObject(slack.MarkdownType, text, false, false)
	t.Verbatim = true // what looks like a mention or a channel is neither
	return t
}

// renderGroup shows a group, a digest or a summary as it is.
func renderGroup(n *alertd.Notification, external string, late time.Duration) message {
	firing, resolved := notifier.Split(n)
	isFiring := len(firing) > 0
	title := notifier.Mark(n.Severity(), isFiring) + " " + notifier.Title(n)
	l := newLayout(n)
	l.left = n.Truncated

	switch {
	case n.Summary != nil:
		l.section("_" + esc(notifier.SummaryNote(n), 200) + "_")
		l.list("*Firing*", firing)
		l.list("*Resolved*", resolved)
	case len(n.Alerts)+n.Truncated == 1:
		l.section(l.detail(&n.Alerts[0], ""))
	default:
		if n.Digest && len(firing) > 0 {
			l.section("*Still firing:* " + esc(notifier.BySeverity(firing), 100))
		}
		l.advice(firing)
		steady, over, flapping := notifier.Restless(n, firing, resolved)
		l.details("*Also firing*", steady)
		l.list(resolvedTitle(n), over)
		l.list("*Flapping*", flapping)
	}
	l.buttons(external)
	footer := l.footer(external, late)
	text := esc(title, 400)
	if n.Summary == nil {
		text += shortly(firing)
	}
	return message{
		text:        text,
		plain:       plainText(n, title, external),
		blocks:      []slack.Block{header(title)},
		attachments: []slack.Attachment{{Color: color(n, isFiring), Fallback: esc(title, 400), Blocks: slack.Blocks{BlockSet: append(l.blocks, footer)}}},
	}
}

func resolvedTitle(n *alertd.Notification) string {
	if n.Digest {
		return "*Resolved while held*"
	}
	return "*Resolved*"
}

// renderReply tells in the group's thread what is new. What rings has the buttons, too: many see only the reply.
func renderReply(n *alertd.Notification, external string) message {
	firing, resolved := notifier.Split(n)
	l := newLayout(n)
	var lead string
	var told []alertd.Notified // firing alerts that the reply is about
	switch {
	case n.Reason == alertd.ReasonAcked, n.Reason == alertd.ReasonUnacked:
		return renderTaken(n)
	case n.Reason == alertd.ReasonRepeat, n.Reason == alertd.ReasonRepage, n.Reason == alertd.ReasonAckTimeout:
		lead, told = "Still firing: ", firing
		l.advice(firing)
		l.details("*Also firing*", firing)
	case bell(n):
		told = notifier.Fresh(n)
		if lead = fmt.Sprintf("%d new: ", len(told)); len(told) == 0 {
			// Which ones are new was not said: show the newest.
			lead = "New alerts: "
			told = slices.Clone(firing)
			slices.SortStableFunc(told, func(a, b alertd.Notified) int { return notifier.Began(&b.Alert).Compare(notifier.Began(&a.Alert)) })
			told = told[:min(newestShown, len(told))]
		}
		l.advice(told)
		l.details("*Also new*", told)
		l.list("*Resolved*", resolved)
	case len(firing) == 0:
		l.list("", resolved)
	default:
		lead = fmt.Sprintf("%d resolved: ", len(resolved))
		l.list("", resolved)
	}
	title := notifier.Mark(n.Severity(), len(firing) > 0) + " " + lead + notifier.Title(n)
	if service := only(told); bell(n) && service != "" && !strings.HasSuffix(title, " · "+service) {
		title += " · " + service // the group has several
	}
	if bell(n) {
		l.buttons(external)
	}
	m := message{
		text:  esc(title, 400) + shortly(told),
		plain: plainText(n, title, external),
	}
	m.blocks = append([]slack.Block{slack.NewSectionBlock(mrkdwn("*"+esc(title, 400)+"*"), nil, nil)}, l.blocks...)
	if l.left > 0 {
		m.blocks = append(m.blocks, smallPrint(fmt.Sprintf("and %d more", l.left)))
	}
	return m
}

// only is the service that all of some alerts are of, "" where they are of several, or of none.
func only(as []alertd.Notified) string {
	var service string
	for i := range as {
		switch s := notifier.Line(as[i].Service(), 60); {
		case i == 0:
			service = s
		case s != service:
			return ""
		}
	}
	return service
}

// renderTaken tells in the group's thread who has taken it, or that nobody has it any more.
func renderTaken(n *alertd.Notification) message {
	firing, _ := notifier.Split(n)
	var who []string
	for i := range firing {
		if s := notifier.Taken(&firing[i].Alert); s != "" && !slices.Contains(who, s) {
			who = append(who, s)
		}
	}
	text := esc(string(n.Reason), 100)
	if n.Reason == alertd.ReasonAcked && len(who) > 0 {
		text = esc(strings.Join(who[:min(len(who), newestShown)], "; "), 400)
	}
	m := message{text: "🔕 " + esc(subject(n), 200) + ": " + text}
	if until := takenUntil(firing); !until.IsZero() && n.Reason == alertd.ReasonAcked {
		text += ", until " + date(until)
	}
	m.plain, m.blocks = "🔕 "+text, []slack.Block{slack.NewSectionBlock(mrkdwn("🔕 "+text), nil, nil)}
	return m
}

// subject is what a message is about, without how urgent it is: "ApplicationDown · checkout".
func subject(n *alertd.Notification) string {
	_, what, _ := strings.Cut(notifier.Title(n), " · ")
	return what
}

// takenUntil is when the first of the alerts is nobody's again; zero: none before it ends.
func takenUntil(as []alertd.Notified) (first time.Time) {
	for i := range as {
		if a := as[i].Ack; a != nil && !a.Until.IsZero() && (first.IsZero() || a.Until.Before(first)) {
			first = a.Until
		}
	}
	return first
}

// buttons lead to the pages on which somebody takes what fires, or silences it.
func (l *layout) buttons(external string) {
	if len(l.blocks) >= maxBlocks-3 {
		return
	}
	ack := "Acknowledge"
	if l.n.Collective() && len(l.n.Alerts)+l.n.Truncated > 1 {
		ack = "Choose what to acknowledge"
	}
	var all []slack.BlockElement
	for _, b := range []struct{ id, text, url string }{
		{"ack", ack, notifier.AckLink(l.n, external)}, {"silence", "Silence…", notifier.SilenceLink(l.n, external)},
	} {
		if b.url == "" || len(b.url) > maxButtonURL {
			continue
		}
		e := slack.NewButtonBlockElement(b.id, "", slack.NewTextBlockObject(slack.PlainTextType, b.text, false, false))
		e.URL = b.url
		all = append(all, e)
	}
	if len(all) > 0 {
		l.blocks = append(l.blocks, slack.NewActionBlock("", all...))
	}
}

// header is plain text, in which nothing is markup; the look-alikes are for whoever copies it elsewhere.
func header(title string) slack.Block {
	title = strings.NewReplacer("<", "‹", ">", "›").Replace(title)
	return slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, cut(title, maxHeader), false, false))
}

func smallPrint(text string) slack.Block { return slack.NewContextBlock("", mrkdwn(text)) }

// details tells the first few alerts at length, as far as there is room, and the others in a line each.
func (l *layout) details(others string, as []alertd.Notified) {
	told := 0
	for ; told < min(details, len(as)); told++ {
		if !l.section(l.detail(&as[told], l.heading(&as[told]))) {
			break
		}
	}
	l.list(others, as[told:])
}

// detail tells one alert at length; what all have in common was told before.
func (l *layout) detail(a *alertd.Notified, head string) string {
	var lines []string
	if head != "" {
		lines = append(lines, head)
	}
	if s := a.Summary(); s != a.Name() {
		lines = append(lines, esc(s, 400))
	}
	if s := notifier.Reason(&a.Alert); a.State.Active() && s != "" {
		lines = append(lines, "*Because:* "+esc(s, 300))
	}
	if s := notifier.Affected(&a.Alert); a.State.Active() && s != "" {
		lines = append(lines, "*Affects:* "+esc(s, 600))
	}
	if s := notifier.NextStep(&a.Alert); a.State.Active() && s != "" && s != l.step {
		lines = append(lines, "*Do next:* "+esc(s, 500))
	}
	lines = append(lines, l.history(a))
	room := maxSection - units(strings.Join(lines, "\n")) - 1
	var links []string
	if u := link(notifier.Runbook(&a.Alert), "Runbook"); u != "" && u != link(l.book, "Runbook") {
		links = append(links, u)
	}
	for _, d := range notifier.Dashboards(&a.Alert) {
		if u := link(d.URL, esc(d.Title, 40)); u != "" && !l.boards[u] {
			l.boards[u] = true
			links = append(links, u)
		}
	}
	if t := trace(a); t != "" {
		links = append(links, t)
	}
	links = slices.DeleteFunc(links, func(s string) bool { // one that does not fit is less than the text
		fits := units(s)+3 <= room
		if fits {
			room -= units(s) + 3
		}
		return !fits
	})
	if len(links) > 0 {
		lines = append(lines, strings.Join(links, " · "))
	}
	return strings.Join(slices.DeleteFunc(lines, func(s string) bool { return s == "" }), "\n")
}

// heading is an alert's sign, name and service, and what else tells it from the others.
func (l *layout) heading(a *alertd.Notified) string {
	s := notifier.Mark(a.Severity(), a.State.Active()) + " *" + esc(notifier.Name(&a.Alert), 100) + "*"
	if service := a.Service(); service != "" {
		s += " · " + esc(service, 80)
	}
	if which := l.which(&a.Alert); which != "" {
		s += " · " + esc(which, 80)
	}
	return s
}

// history is an alert's life: its value, since when, and how long it was held.
func (l *layout) history(a *alertd.Notified) string {
	began := notifier.Began(&a.Alert)
	if !a.State.Active() {
		s := "Resolved " + date(notifier.Ended(&a.Alert))
		if took := notifier.Ago(began, notifier.Ended(&a.Alert)); took != "" {
			s += " after " + took
		}
		if on := notifier.GoesOn(a); on != "" {
			s += " · " + esc(on, 60)
		}
		if flapping := notifier.Flapping(a); flapping != "" {
			s += " · " + flapping
		}
		return s
	}
	s := "Since " + date(began)
	if v := a.Measured(); !math.IsNaN(float64(v)) {
		s = "Value " + notifier.Value(v) + " · since " + date(began)
	}
	if ago := notifier.Ago(began, l.n.PlannedAt); ago != "" {
		s += " (" + ago + ")"
	}
	if held := notifier.Held(a, l.n.PlannedAt); held != "" {
		s += " · " + esc(held, 60)
	}
	if flapping := notifier.Flapping(a); flapping != "" {
		s += " · *" + flapping + "*"
	}
	if taken := notifier.Taken(&a.Alert); taken != "" {
		s += " · *" + esc(taken, 300) + "*"
	}
	return s
}

// list tells alerts in a line each.
func (l *layout) list(title string, as []alertd.Notified) {
	shown := as[:min(maxLines, len(as))]
	l.left += len(as) - len(shown)
	for chunk := range slices.Chunk(shown, perSection) {
		var lines []string
		if title != "" {
			lines = append(lines, title)
			title = ""
		}
		for i := range chunk {
			lines = append(lines, l.line(&chunk[i]))
		}
		if !l.section(strings.Join(lines, "\n")) {
			l.left += len(chunk)
		}
	}
}

// line tells an alert in one line of at most 290 characters, so that ten fit into a section.
func (l *layout) line(a *alertd.Notified) string {
	s := notifier.Mark(a.Severity(), a.State.Active()) + " *" + esc(notifier.Name(&a.Alert), 60) + "*"
	if service := a.Service(); service != "" {
		s += " · " + esc(service, 40)
	}
	if which := l.which(&a.Alert); which != "" {
		s += " · " + esc(which, 60)
	}
	began := notifier.Began(&a.Alert)
	if a.State.Active() {
		s += " · for " + notifier.Ago(began, l.n.PlannedAt)
		if a.Ack != nil {
			s += " · acknowledged"
		}
	} else {
		s += " · lasted " + notifier.Ago(began, notifier.Ended(&a.Alert))
		if on := notifier.GoesOn(a); on != "" {
			s += " · " + esc(on, 40)
		}
	}
	if a.Changes > 0 {
		s += " · flapping"
	}
	if u := link(notifier.Runbook(&a.Alert), "Runbook"); u != "" && units(u) <= 80 && u != link(l.book, "Runbook") {
		s += " · " + u
	}
	return s
}

// advice tells once what all firing alerts say to do next, and their runbook, where they agree.
func (l *layout) advice(firing []alertd.Notified) {
	if len(firing) < 2 {
		return
	}
	l.step, l.book = notifier.NextStep(&firing[0].Alert), notifier.Runbook(&firing[0].Alert)
	for i := range firing {
		if notifier.NextStep(&firing[i].Alert) != l.step {
			l.step = ""
		}
		if notifier.Runbook(&firing[i].Alert) != l.book {
			l.book = ""
		}
	}
	var lines []string
	if l.step != "" {
		lines = append(lines, "*Do next:* "+esc(l.step, 500))
	}
	if u := link(l.book, "Runbook"); u != "" {
		lines = append(lines, u)
	}
	l.section(strings.Join(lines, "\n"))
}

// footer is small print: how many more, why this was sent, where to read on.
func (l *layout) footer(external string, late time.Duration) slack.Block {
	var parts []string
	if l.left > 0 {
		parts = append(parts, fmt.Sprintf("*and %d more*", l.left))
	}
	parts = append(parts, esc(l.n.Receiver, 60)+": "+esc(string(l.n.Reason), 60))
	if u := link(notifier.HomeLink(l.n, external), "Open alertd"); u != "" {
		parts = append(parts, u)
	}
	if late > lateAfter {
		parts = append(parts, "delivered "+notifier.Span(late)+" late")
	}
	return smallPrint(strings.Join(parts, " · "))
}
