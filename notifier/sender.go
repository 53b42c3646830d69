package notifier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"alertd"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"
)

// Sender delivers one notification to one destination. On success it returns the provider's reference of the
// group's first message ("" where there is none); it differs from the notification's own Ref where that
// message could no longer be changed and a new one took its place. Errors are *alertd.DeliveryError and hold no
// secret; one whose outcome is Delivered comes with the reference and says in which way the message is not what it
// was to be. Senders are safe for concurrent use, and they obey ctx.
type Sender interface {
	Send(ctx context.Context, n alertd.Notification) (ref string, err error)
}

// Finder is a Sender that can tell whether a notification arrived whose outcome is unknown. An error means that
// it cannot tell: now, or, where the outcome is Failed, ever.
type Finder interface {
	Sender
	Find(ctx context.Context, n alertd.Notification) (ref string, found bool, err error)
}

// FinderOf returns the Finder in s, which may be wrapped.
func FinderOf(s Sender) (Finder, bool) { return As[Finder](s) }

// As returns the T in s, which may be wrapped.
func As[T Sender](s Sender) (T, bool) {
	for {
		if t, ok := s.(T); ok {
			return t, true
		}
		w, ok := s.(interface{ Unwrap() Sender })
		if !ok {
			var none T
			return none, false
		}
		s = w.Unwrap()
	}
}

// MaxRetryAfter is the longest wait that a provider may ask for. A page that waits longer is better tried in vain.
const MaxRetryAfter = time.Hour

// Limit lets perSecond notifications a second through, and burst at once. The others wait, as long as ctx
// allows; one that would wait longer comes back as Retry with the time to wait, and nothing was sent.
func Limit(s Sender, perSecond float64, burst int) Sender {
	return &limited{next: s, tokens: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

var errLimited = errors.New("not sent: it waits for our own rate limit of this destination")

type limited struct {
	next   Sender
	tokens *rate.Limiter
}

func (l *limited) Unwrap() Sender { return l.next }

func (l *limited) Send(ctx context.Context, n alertd.Notification) (string, error) {
	r := l.tokens.Reserve()
	wait := r.Delay()
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		r.Cancel()
		return "", &alertd.DeliveryError{
			Outcome: alertd.Retry, Class: alertd.FailureRateLimited, RetryAfter: min(wait, MaxRetryAfter),
			Err: errLimited,
		}
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			r.Cancel()
			return "", &alertd.DeliveryError{
				Outcome: alertd.Retry, Class: alertd.FailureRateLimited,
				Err: fmt.Errorf("%w: %w", errLimited, context.Cause(ctx)),
			}
		}
	}
	return l.next.Send(ctx, n)
}

const (
	breakerTrip = 5                // failures in a row that open the breaker
	breakerRest = 15 * time.Second // how long it stays open
)

// Break stops calling a destination for 15 s after five failures in a row of its network or its server, and
// answers Retry instead. An answer of any other kind, a refusal included, shows that the destination is there
// and closes the breaker. Critical notifications are always tried: a page is worth a call in vain.
func Break(s Sender) Sender {
	b := &broken{next: s}
	b.breaker = gobreaker.NewCircuitBreaker[string](gobreaker.Settings{
		Timeout:      breakerRest,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerTrip },
		IsSuccessful: func(err error) bool { return !unreachable(err) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errLimited) }, // says nothing about the destination
	})
	return b
}

type broken struct {
	next    Sender
	breaker *gobreaker.CircuitBreaker[string]
}

func (b *broken) Unwrap() Sender { return b.next }

func (b *broken) Send(ctx context.Context, n alertd.Notification) (string, error) {
	ref, err := b.breaker.Execute(func() (string, error) { return b.next.Send(ctx, n) })
	if !errors.Is(err, gobreaker.ErrOpenState) && !errors.Is(err, gobreaker.ErrTooManyRequests) {
		return ref, err
	}
	if n.Severity() == alertd.Critical {
		return b.next.Send(ctx, n)
	}
	return "", &alertd.DeliveryError{
		Outcome: alertd.Retry, Class: alertd.FailureServer, RetryAfter: breakerRest,
		Err: fmt.Errorf("not tried: the last %d attempts did not reach this destination", breakerTrip),
	}
}

// unreachable reports whether err says that the destination did not answer, or is not well.
func unreachable(err error) bool {
	if err == nil {
		return false
	}
	de, ok := errors.AsType[*alertd.DeliveryError](err)
	if !ok {
		return true
	}
	switch de.Class {
	case alertd.FailureServer, alertd.FailureNetwork, alertd.FailureTimeout:
		return true
	default:
		return false
	}
}

// Redact returns err with each of the secrets in its text replaced. It is the last line of defence: a peer that
// repeats our request in its error must not get a secret into our log. Secrets shorter than four bytes are left alone.
func Redact(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := text
	for _, s := range secrets {
		if len(s) >= 4 {
			clean = strings.ReplaceAll(clean, s, "<secret>")
		}
	}
	if clean == text {
		return err
	}
	return errors.New(clean)
}
