package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"alertd"
	"alertd/notifier/console"
)

// How narrow a column gets before it stops giving way to others: one of what people only read, then any, and where nothing else helps.
const (
	proseFloor  = 16
	nameFloor   = 14
	columnFloor = 8
)

// typed are the heads of columns that hold what people type again.
var typed = []string{"ALERT", "SERVICE", "RECEIVER", "ID", "FINGERPRINT"}

// spare are the heads of columns that a narrow terminal goes without, the first one first.
var spare = []string{"SUMMARY", "COMMENT", "VALUE"}

// A table prints rows aligned. Where they are wider than the terminal, the widest columns give way, first those that people only
// read, and never the first, which is a time; then some are left out. A program, and a file, get all of it.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	t.rows = append(t.rows, cells)
}

func (t *table) write(w io.Writer) error {
	t, widths := t.fit(columns(w))
	colors := console.Colors(w)
	var out bytes.Buffer
	for n, row := range append([][]string{t.head}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			cell = clip(cell, widths[i])
			if color := severityColors[cell]; colors && n > 0 && t.head[i] == "SEVERITY" && color != "" {
				line.WriteString("\x1b[" + color + "m" + cell + "\x1b[0m")
			} else {
				line.WriteString(cell)
			}
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " "))
		out.WriteByte('\n')
	}
	_, err := w.Write(out.Bytes())
	return err
}

// fit is the table in lines of at most so many characters, and how wide its columns are; 0: however many.
func (t *table) fit(most int) (*table, []int) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	if most == 0 {
		return t, widths
	}
	over := 2*(len(widths)-1) - most
	for _, w := range widths {
		over += w
	}
	over = shrink(widths, over, proseFloor, func(i int) bool { return !slices.Contains(typed, t.head[i]) })
	over = shrink(widths, over, nameFloor, func(int) bool { return true })
	if over > 0 {
		for _, head := range spare {
			if i := slices.Index(t.head, head); i > 0 {
				return t.without(i).fit(most)
			}
		}
	}
	shrink(widths, over, columnFloor, func(int) bool { return true })
	return t, widths
}

// without is the table without a column.
func (t *table) without(i int) *table {
	out := &table{head: slices.Delete(slices.Clone(t.head), i, i+1)}
	for _, row := range t.rows {
		out.rows = append(out.rows, slices.Delete(slices.Clone(row), i, i+1))
	}
	return out
}

// shrink takes from the widest of some columns, but not from the first, until nothing is over or they are at the floor. It returns what
// is over still.
func shrink(widths []int, over, floor int, may func(i int) bool) int {
	for ; over > 0; over-- {
		widest := 0
		for i := 1; i < len(widths); i++ {
			if may(i) && widths[i] > floor && (widest == 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest == 0 {
			break
		}
		widths[widest]--
	}
	return over
}

// severityColors are those of the severities that somebody has to do something about, as ANSI codes: bold red, and yellow.
var severityColors = map[string]string{string(alertd.Critical): "1;31", string(alertd.Warning): "33"}

// clip cuts s to n runes and says so with an ellipsis.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// printable keeps what publishers say from moving the reader's cursor or breaking the row.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// A clock shows times in the reader's own zone. All of a table have the offset that its head names, so that a
// column over a change to summer time stays in order.
type clock struct{ zone *time.Location }

func localClock() clock {
	_, offset := time.Now().Local().Zone()
	return clock{time.FixedZone("", offset)}
}

// head names a column of times.
func (c clock) head(name string) string {
	return name + " (" + time.Time{}.In(c.zone).Format("-07:00") + ")"
}

// show is the time to the second; nothing for no time.
func (c clock) show(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(c.zone).Format(time.DateTime)
}

// writeJSON prints v for programs and people alike.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // it goes to a terminal or a file, and links have to stay links
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	return nil
}
