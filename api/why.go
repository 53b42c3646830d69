package api

import (
	"net/http"

	"alertd"
	"alertd/history"
)

// why answers why somebody was told of an alert, or was not: the chain of decisions of every alert that is asked for.
func (a *api) why(w http.ResponseWriter, r *http.Request) error {
	p, err := parameters(r, "fingerprint", "alert", "service", "group", "since", "until")
	if err != nil {
		return err
	}
	if a.o.History == nil {
		return errNoHistory
	}
	q := history.Question{
		Fingerprint: p["fingerprint"], Alert: p["alert"], Service: p["service"], Group: alertd.GroupKey(p["group"]),
	}
	now := a.o.Now()
	if q.Since, err = instant("since", p["since"], now); err != nil {
		return err
	}
	if q.Until, err = instant("until", p["until"], now); err != nil {
		return err
	}
	chains, err := a.o.History.Why(r.Context(), q)
	if err != nil {
		return err
	}
	return success(w, map[string]any{"alerts": nonNil(chains)})
}
