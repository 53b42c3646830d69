package alertd

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// Actor is who does something to a silence, as far as it is known.
type Actor struct {
	By     string    `json:"by,omitempty"`     // a name; "": whoever asked did not say
	From   AckSource `json:"from,omitempty"`   // by which way it came; "": alertd itself did it
	Client string    `json:"client,omitempty"` // see [Client]; "": nobody asked over the network
	Why    string    `json:"why,omitempty"`    // for people
}

// Caller is who sends a request to an API: the host that it comes from, and the program as it calls itself.
func Caller(remoteAddr, userAgent string) Actor {
	return Actor{From: FromAPI, Client: Client(FromAPI, remoteAddr, userAgent)}
}

// Client is from where a request came: the host, and of one that came by the API also the program, as it calls itself. Behind a proxy
// the host is the proxy's.
func Client(from AckSource, remoteAddr, userAgent string) string {
	host := remoteAddr
	if at, err := netip.ParseAddrPort(remoteAddr); err == nil {
		host = at.Addr().Unmap().String() // the port says nothing afterwards
	}
	if from != FromAPI { // the way says which program it is
		return host
	}
	return host + ", " + cmp.Or(userAgent, "no User-Agent")
}

// String is the actor for people, after a verb: "by ann, from cli: the disks are in".
func (a Actor) String() string {
	var b strings.Builder
	if a.By != "" {
		b.WriteString("by " + a.By + ", ")
	}
	if a.From != "" {
		b.WriteString("from " + string(a.From))
	}
	if a.Client != "" {
		b.WriteString(" (" + a.Client + ")")
	}
	if a.By == "" && a.From != "" {
		b.WriteString(", which named nobody")
	}
	if a.Why != "" {
		b.WriteString(": " + a.Why)
	}
	return b.String()
}

// SilenceAct is what was done to a silence.
type SilenceAct string

// The acts.
const (
	SilenceMade     SilenceAct = "made"
	SilenceChanged  SilenceAct = "changed"
	SilenceReplaced SilenceAct = "replaced" // ended, because another one took its place
	SilenceEnded    SilenceAct = "expired"  // by somebody, before its end
	SilenceResolved SilenceAct = "resolved" // all that it waited for is over
	SilenceOver     SilenceAct = "over"     // its end has come
)

// SilenceChange is one thing that was done to a silence.
type SilenceChange struct {
	Act SilenceAct `json:"act"`
	At  time.Time  `json:"at"` // when, UTC: of one that is over, its end
	Actor
	EndsAt time.Time     `json:"endsAt"`           // of the silence, from then on
	Detail string        `json:"detail,omitempty"` // what is different, for people
	Alerts []Fingerprint `json:"alerts,omitempty"` // what fired and matched then; in the journal only
}

// Tell says the change in words, with the end that the silence has from then on, if it has one still. show writes an
// instant.
func (c *SilenceChange) Tell(show func(time.Time) string) string {
	var text string
	switch c.Act {
	case SilenceEnded:
		text = "ended early"
	case SilenceReplaced:
		text = "ended and replaced"
	case SilenceResolved:
		return "is over: all that it waited for is resolved"
	case SilenceOver:
		return "ended by itself"
	default:
		text = string(c.Act)
	}
	if who := c.Actor.String(); who != "" {
		text += " " + who
	}
	if c.Act == SilenceMade || c.Act == SilenceChanged {
		text += "; ends " + show(c.EndsAt)
	}
	if c.Detail != "" {
		text += "; " + c.Detail
	}
	return text
}
