package main

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestTableFits checks that rows are lines, fit the width, and that no cell moves its neighbours, whatever is in them.
func TestTableFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := table{head: []string{"TIME (+00:00)", "SEVERITY", "ALERT", "SERVICE", "STATE", "VALUE", "WHY"}}
		rows := rapid.IntRange(0, 5).Draw(t, "rows")
		for range rows {
			row := []string{"2026-01-15 10:30:00"}
			for range len(tab.head) - 1 {
				row = append(row, rapid.OneOf(rapid.String(), rapid.StringN(0, 200, -1)).Draw(t, "cell"))
			}
			tab.add(row...)
		}
		var out strings.Builder
		if err := tab.write(&out); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != rows+1 {
			t.Fatalf("%d lines for %d rows", len(lines), rows)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > tableWidth {
				t.Fatalf("%d columns: %s", n, line)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("not printable: %q", line)
			}
		}
		severity := strings.Index(lines[0], "SEVERITY")
		for i, line := range lines[1:] {
			want := clip(tab.rows[i][1], tab.widths()[1])
			if got := []rune(line); len(got) > severity && !strings.HasPrefix(string(got[severity:]), strings.TrimRight(want, " ")) {
				t.Fatalf("column of row %d does not begin under its head:\n%s\n%s", i, lines[0], line)
			}
		}
	})
}
