package history

import (
	"context"
	"database/sql/driver"
	"time"

	"alertd"
)

// maxNumbers bounds the numbers of alerts that are remembered: those of the alerts that change now.
const maxNumbers = 1 << 16

// numbered is the number of the alert whose fingerprint is the first argument of a query; NULL if it has none.
const numbered = "(SELECT f.n FROM fingerprints AS f WHERE f.fingerprint = ?1)"

// number returns the number of an alert, which gets the next one if it has none.
func (w *writer) number(fp alertd.Fingerprint) (int64, error) {
	if n, ok := w.numbers[fp]; ok {
		return n, nil
	}
	w.args = append(w.args[:0], driver.NamedValue{Ordinal: 1, Value: fp.String()})
	res, err := w.stmts.number.ExecContext(context.Background(), w.args)
	if err != nil {
		return 0, err
	}
	n, err := res.LastInsertId()
	if made, _ := res.RowsAffected(); err == nil && made == 0 {
		n, err = w.numberOf()
	}
	if err != nil {
		return 0, err
	}
	if len(w.numbers) >= maxNumbers {
		clear(w.numbers)
	}
	w.numbers[fp] = n
	return n, nil
}

// numberOf reads the number of the alert whose fingerprint is in the arguments.
func (w *writer) numberOf() (int64, error) {
	rows, err := w.stmts.numberOf.QueryContext(context.Background(), w.args)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil {
		return 0, err
	}
	return row[0].(int64), nil
}

// forget drops what is remembered of the file.
func (w *writer) forget() {
	clear(w.numbers)
	w.minute = minute{}
}

// minute is a row of the table minutes.
type minute struct{ at, first, last int64 }

// minuteOf is the minute of an instant in microseconds.
func minuteOf(us int64) int64 { return us / time.Minute.Microseconds() }

// when notes that something was decided at an instant, and where that is.
func (w *writer) when(pos int64, at time.Time) error {
	of := minuteOf(micros(at))
	if m := &w.minute; m.first == 0 || m.at != of {
		if err := w.endMinute(); err != nil {
			return err
		}
		*m = minute{of, pos, pos}
	}
	w.minute.first, w.minute.last = min(w.minute.first, pos), max(w.minute.last, pos)
	return nil
}

// endMinute writes the minute down.
func (w *writer) endMinute() error {
	m := w.minute
	if m.first == 0 {
		return nil
	}
	w.minute = minute{}
	return w.exec(w.stmts.minute, m.at, m.first, m.last)
}

// decidedIn is the condition for decisions of a time, whose limits are given twice: the minutes say where they are.
const decidedIn = ` pos >= (SELECT min(first) FROM minutes WHERE minute BETWEEN ? AND ?)
	AND pos <= (SELECT max(last) FROM minutes WHERE minute BETWEEN ? AND ?) AND time >= ? AND time < ?`

func decidedBetween(since, until int64) []any {
	from, to := minuteOf(since), minuteOf(until)
	return []any{from, to, from, to, since, until}
}
