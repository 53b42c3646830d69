package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"alertd"
	"alertd/history"
)

// Error is an error that the client may read. Its text ends with what to do.
type Error struct {
	Status int
	Kind   string // errorType, one of the words that Prometheus uses, or a new one
	Text   string
}

// Error is the text.
func (e *Error) Error() string { return e.Text }

func badData(text string) error { return &Error{http.StatusBadRequest, "bad_data", text} }

func unavailable(text string) error {
	return &Error{http.StatusServiceUnavailable, "unavailable", text}
}

// handler is an http.Handler that returns its error; wrap alone decides what the client may see of it.
type handler func(w http.ResponseWriter, r *http.Request) error

func (a *api) wrap(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		e := a.public(r, err)
		writeJSON(w, e.Status, struct {
			Status string `json:"status"`
			Kind   string `json:"errorType"`
			Text   string `json:"error"`
		}{"error", e.Kind, e.Text})
	})
}

// public is what may be said of err. What may not is logged.
func (a *api) public(r *http.Request, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, history.ErrFilter), errors.Is(err, alertd.ErrInvalid):
		return &Error{http.StatusBadRequest, "bad_data", err.Error()}
	case errors.Is(err, alertd.ErrNotFound):
		return &Error{http.StatusNotFound, "not_found", err.Error()}
	case errors.Is(err, alertd.ErrStandby):
		return &Error{http.StatusServiceUnavailable, "unavailable", err.Error() + "; ask that one"}
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return &Error{499, "canceled", "the client went away"} // nobody reads it
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{http.StatusServiceUnavailable, "timeout", "no answer in time; ask for less (since, until, limit) or again later"}
	}
	a.o.Log.Error("request failed", "pattern", r.Pattern, "err", err)
	if errors.Is(err, history.ErrDamaged) {
		return &Error{http.StatusInternalServerError, "internal", "the history file is damaged; alertd's log says which file to delete, it is rebuilt from the journal"}
	}
	return &Error{http.StatusInternalServerError, "internal", "it failed inside alertd; its log has the reason"}
}

// success writes data in the envelope.
func success(w http.ResponseWriter, data any) error {
	return writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}{"success", data})
}

// writeJSON writes v, whole or not at all: what cannot be encoded is an error before anything is sent.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client went away: nobody to tell
	return nil
}
