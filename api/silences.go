package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"alertd"
)

// Silences are what people make to keep alerts quiet for a time. Errors that are an [alertd.ErrInvalid],
// [alertd.ErrNotFound] or [alertd.ErrStandby] are shown to whoever asked.
type Silences interface {
	// Silences are all, those that expired and are still kept included.
	Silences(ctx context.Context) ([]alertd.SilenceView, error)
	// MakeSilence makes one, or changes the one with this ID, and returns the ID under which it is known now. One that
	// is too broad is refused unless it is forced.
	MakeSilence(ctx context.Context, s alertd.Silence, by alertd.Actor, force bool) (id string, err error)
	// PreviewSilence says what one would hide.
	PreviewSilence(ctx context.Context, s alertd.Silence) (alertd.SilencePreview, error)
	// ExpireSilence ends one now. Ending one that is over is no error.
	ExpireSilence(ctx context.Context, id string, by alertd.Actor) error
}

// maxSilence bounds the body that describes a silence. Alertmanager's API here has the same bound.
const maxSilence = 64 << 10

var errNoSilences = unavailable("silences cannot be read here; ask the alertd that decides")

// silences lists them: those in force first, the next to end at the top.
func (a *api) silences(w http.ResponseWriter, r *http.Request) error {
	p, err := parameters(r, "expired")
	if err != nil {
		return err
	}
	all, err := a.allSilences(r)
	if err != nil {
		return err
	}
	if p["expired"] != "true" {
		all = slices.DeleteFunc(all, func(s alertd.SilenceView) bool { return s.State == alertd.SilenceExpired })
	}
	slices.SortFunc(all, alertd.ByUrgency)
	return success(w, map[string]any{"silences": nonNil(all)})
}

func (a *api) allSilences(r *http.Request) ([]alertd.SilenceView, error) {
	if a.o.Silences == nil {
		return nil, errNoSilences
	}
	all, err := a.o.Silences.Silences(r.Context())
	return all, silenceError(err)
}

func (a *api) silence(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	all, err := a.allSilences(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	for i := range all {
		if all[i].ID == id {
			return success(w, all[i])
		}
	}
	return &Error{http.StatusNotFound, "not_found", "there is no such silence; one that is over is forgotten after five days, GET /api/v1/silences?expired=true lists what is kept"}
}

// wantedSilence is what is asked for, and by whom. Of a new one that is createdBy.
type wantedSilence struct {
	alertd.Silence
	Force bool             `json:"force"`
	By    string           `json:"by"`
	From  alertd.AckSource `json:"from"` // default api
	Why   string           `json:"why"`  // of a change
}

func (a *api) makeSilence(w http.ResponseWriter, r *http.Request) error {
	s, err := a.readSilence(w, r)
	if err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(s.Comment) == "":
		return badData("the silence has no comment; say why, for those who find it")
	case strings.TrimSpace(s.CreatedBy) == "":
		return badData("the silence has no createdBy; say who makes it")
	}
	by, err := actor(r, s.By, string(s.From), s.Why)
	if err != nil {
		return err
	}
	id, err := a.o.Silences.MakeSilence(r.Context(), s.Silence, by, s.Force)
	if err != nil {
		return silenceError(err)
	}
	return success(w, map[string]any{"silenceID": id})
}

func (a *api) previewSilence(w http.ResponseWriter, r *http.Request) error {
	s, err := a.readSilence(w, r)
	if err != nil {
		return err
	}
	p, err := a.o.Silences.PreviewSilence(r.Context(), s.Silence)
	if err != nil {
		return silenceError(err)
	}
	return success(w, p)
}

// readSilence reads the body. A silence that does not say when it begins begins now.
func (a *api) readSilence(w http.ResponseWriter, r *http.Request) (s wantedSilence, err error) {
	if _, err := parameters(r); err != nil {
		return s, err
	}
	if a.o.Silences == nil {
		return s, errNoSilences
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSilence))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return s, &Error{http.StatusRequestEntityTooLarge, "bad_data", "the body is larger than 64 KiB; a silence has fewer matchers"}
	} else if err != nil {
		return s, badData("the body broke off")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, badData("the body is not a silence: " + clip(err.Error()))
	}
	if s.StartsAt.IsZero() {
		s.StartsAt = a.o.Now()
	}
	return s, nil
}

func (a *api) expireSilence(w http.ResponseWriter, r *http.Request) error {
	p, err := parameters(r, "by", "from", "why")
	if err != nil {
		return err
	}
	if a.o.Silences == nil {
		return errNoSilences
	}
	by, err := actor(r, p["by"], p["from"], p["why"])
	if err != nil {
		return err
	}
	if err := a.o.Silences.ExpireSilence(r.Context(), r.PathValue("id"), by); err != nil {
		return silenceError(err)
	}
	return success(w, struct{}{})
}

// actor is who asks for something, as the request says.
func actor(r *http.Request, by, from, why string) (alertd.Actor, error) {
	who := alertd.Actor{By: strings.TrimSpace(by), From: alertd.AckSource(from), Why: strings.TrimSpace(why)}
	switch who.From {
	case "":
		who.From = alertd.FromAPI
	case alertd.FromAPI, alertd.FromCLI, alertd.FromSlack, alertd.FromWeb:
	default:
		return who, badData(fmt.Sprintf("from %q is not known; there are api, cli, slack and web", clip(from)))
	}
	who.Client = alertd.Client(who.From, r.RemoteAddr, r.UserAgent())
	if len(who.By) > alertd.MaxAckBy || len(who.Why) > alertd.MaxAckWhy {
		return who, badData(fmt.Sprintf("by may be %d bytes long, why %d", alertd.MaxAckBy, alertd.MaxAckWhy))
	}
	return who, nil
}

// silenceError makes an answer of what the decider says.
func silenceError(err error) error {
	switch {
	case errors.Is(err, alertd.ErrInvalid):
		return badData(err.Error())
	case errors.Is(err, alertd.ErrNotFound):
		return &Error{http.StatusNotFound, "not_found", err.Error() + "; GET /api/v1/silences lists them"}
	case errors.Is(err, alertd.ErrStandby):
		return unavailable(err.Error())
	}
	return err
}
