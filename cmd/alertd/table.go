package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// tableWidth is what every terminal shows without a fold.
const tableWidth = 100

// columnFloor is how narrow a column gets before it stops giving way to others.
const columnFloor = 8

// A table prints rows aligned. The widest columns give way until a row fits tableWidth, but not the first, which
// is a time.
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
	widths := t.widths()
	var out bytes.Buffer
	for _, row := range append([][]string{t.head}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			cell = clip(cell, widths[i])
			line.WriteString(cell)
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

func (t *table) widths() []int {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	over := 2*(len(widths)-1) - tableWidth
	for _, w := range widths {
		over += w
	}
	for ; over > 0; over-- {
		widest := 1
		for i, w := range widths {
			if i > 0 && w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= columnFloor {
			break
		}
		widths[widest]--
	}
	return widths
}

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
