package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/prometheus/common/model"

	"alertd"
)

// maxBody bounds the body of a command, in bytes.
const maxBody = 16 << 10

// ackBody is what POST /api/v1/ack and /api/v1/unack take: which alerts, who, and until when.
type ackBody struct {
	alertd.Selection
	By    string           `json:"by"`
	From  alertd.AckSource `json:"from"` // default api
	Why   string           `json:"why"`
	Until time.Time        `json:"until"`
	For   string           `json:"for"` // instead of until: 2h
}

// ack lets somebody take alerts; unack gives them back.
func (a *api) ack(w http.ResponseWriter, r *http.Request) error   { return a.take(w, r, false) }
func (a *api) unack(w http.ResponseWriter, r *http.Request) error { return a.take(w, r, true) }

func (a *api) take(w http.ResponseWriter, r *http.Request, undo bool) error {
	var b ackBody
	if err := readBody(w, r, &b); err != nil {
		return err
	}
	who, err := actor(r, b.By, string(b.From), b.Why)
	if err != nil {
		return err
	}
	req := alertd.AckRequest{
		Selection: b.Selection, Undo: undo,
		Ack: alertd.Ack{By: who.By, From: who.From, Why: who.Why, Until: b.Until, Client: who.Client},
	}
	switch {
	case b.All:
		return badData("not everything at once; name one of fingerprint, group and alert")
	case b.For != "" && !b.Until.IsZero():
		return badData("until and for both say when it ends; keep one of them")
	case b.For != "":
		d, err := model.ParseDuration(b.For)
		if err != nil || d <= 0 {
			return badData(fmt.Sprintf("for %q is not a duration; write it like 30m, 2h or 1d", clip(b.For)))
		}
		req.Until = a.o.Now().Add(time.Duration(d))
	}
	if a.o.Ack == nil {
		return unavailable("this alertd takes no acknowledgements")
	}
	taken, err := a.o.Ack(r.Context(), req)
	if err != nil {
		return err
	}
	return success(w, map[string]any{"alerts": nonNil(taken)})
}

// release lets go what is held.
func (a *api) release(w http.ResponseWriter, r *http.Request) error {
	var req alertd.ReleaseRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	who, err := actor(r, req.By, string(req.From), "")
	if err != nil {
		return err
	}
	req.By, req.From, req.Client = who.By, who.From, who.Client
	if a.o.Release == nil {
		return unavailable("this alertd lets nothing go")
	}
	gone, err := a.o.Release(r.Context(), req)
	if err != nil {
		return err
	}
	gone.Groups = nonNil(gone.Groups)
	return success(w, gone)
}

// readBody reads a command's body: JSON, all of it known.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return &Error{http.StatusUnsupportedMediaType, "bad_data", "send the body as JSON, with Content-Type: application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("something comes after it")
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("there is none")
	}
	if err != nil {
		return badData("the body is not understood: " + clip(err.Error()))
	}
	return nil
}
