package amapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"alertd"
)

// failure is an error that the client may read. Alertmanager has two shapes for them, and so have we: what a handler
// says is a JSON string; what is wrong with the request itself is an object with a code, which tells more than the
// status does.
type failure struct {
	status int
	code   int // 0: a string
	text   string
}

// Codes of the second shape.
const (
	codeType     = 601 // not of the type or format that is asked for
	codeRequired = 602
	codeTooFew   = 612
)

func (f *failure) Error() string { return f.text }

func problem(status int, format string, args ...any) error {
	return &failure{status: status, text: fmt.Sprintf(format, args...)}
}

// refused is what is wrong with a request before anybody looks at what it means.
func refused(code int, format string, args ...any) *failure {
	status := code
	if code >= 600 {
		status = http.StatusUnprocessableEntity
	}
	return &failure{status, code, fmt.Sprintf(format, args...)}
}

// empty is an answer that has nothing but its status.
func empty(status int) error { return &failure{status: status} }

// handler is an http.Handler that returns its error; wrap alone decides what the client may see of it.
type handler func(w http.ResponseWriter, r *http.Request) error

func (a *api) wrap(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		err := h(w, r)
		if err == nil {
			return
		}
		f := a.public(r, err)
		switch {
		case f.text == "":
			w.WriteHeader(f.status)
		case f.code != 0:
			writeJSON(w, f.status, struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			}{f.code, f.text})
		default:
			writeJSON(w, f.status, f.text)
		}
	})
}

// public is what may be said of err. What may not is logged.
func (a *api) public(r *http.Request, err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	switch {
	case errors.Is(err, alertd.ErrInvalid):
		return &failure{status: http.StatusBadRequest, text: err.Error()}
	case errors.Is(err, alertd.ErrNotFound):
		return &failure{status: http.StatusNotFound, text: err.Error()}
	case errors.Is(err, alertd.ErrStandby):
		return &failure{status: http.StatusServiceUnavailable, text: err.Error()}
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return &failure{status: 499, text: "the client went away"} // nobody reads it
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{status: http.StatusServiceUnavailable, text: "no answer in time; try again later"}
	}
	a.o.Log.Error("request failed", "method", r.Method, "pattern", r.Pattern, "err", err)
	return &failure{status: http.StatusInternalServerError, text: "it failed inside alertd; its log has the reason"}
}

// byMethod chooses among handlers of one path.
func byMethod(methods map[string]handler) handler {
	allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ",")
	return func(w http.ResponseWriter, r *http.Request) error {
		h, ok := methods[r.Method]
		if !ok {
			w.Header().Set("Allow", allowed)
			return refused(http.StatusMethodNotAllowed, "method %s is not allowed, but [%s] are", r.Method, allowed)
		}
		return h(w, r)
	}
}

func notThere(_ http.ResponseWriter, r *http.Request) error {
	return refused(http.StatusNotFound, "path %s was not found", r.URL.Path)
}

// writeJSON writes v, whole or not at all, with a newline at the end.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		panic(err) // v is one of our own types, none of which can fail
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client went away: nobody to tell
}
