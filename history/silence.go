package history

import (
	"encoding/json"
	"time"

	"alertd"
)

// SilenceStep is what was done to a silence that an alert matched.
type SilenceStep struct {
	ID        string `json:"id"`
	CreatedBy string `json:"createdBy"`
	Comment   string `json:"comment"`
	Recurs    string `json:"recurs,omitempty"` // in words
	alertd.SilenceChange
}

// tell says it in words. show writes an instant.
func (s *SilenceStep) tell(show func(time.Time) string) string {
	text := "silence " + s.ID + " of " + s.CreatedBy + " (" + s.Comment + ") " + s.Tell(show)
	if s.Recurs != "" && (s.Act == alertd.SilenceMade || s.Act == alertd.SilenceChanged) {
		text += "; in force " + s.Recurs
	}
	return text
}

// silence writes a row for each alert that something was about that was done to a silence.
func (w *writer) silence(pos int64, at time.Time, s *alertd.Silence) error {
	if s.Change == nil {
		return nil // nothing was done: alertd looked whether to tell that it ends
	}
	step := SilenceStep{
		ID: clip(s.ID, maxName), CreatedBy: clip(s.CreatedBy, maxName), Comment: clip(s.Comment, maxLabel), SilenceChange: *s.Change,
	}
	step.Alerts = nil
	if s.Recurs != nil {
		step.Recurs = clip(s.Recurs.String(), maxName)
	}
	text, err := json.Marshal(step)
	if err != nil {
		return err
	}
	for n, fp := range s.Change.Alerts {
		d := decision{
			kind: KindSilence, fingerprint: fp, reason: string(step.Act), by: step.By, until: step.EndsAt, silence: string(text),
		}
		if err := w.decision(pos, n, at, d); err != nil {
			return err
		}
	}
	return nil
}

func readSilence(text string) (*SilenceStep, error) {
	if text == "" {
		return nil, nil
	}
	s := new(SilenceStep)
	return s, json.Unmarshal([]byte(text), s)
}
