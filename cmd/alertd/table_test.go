package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"alertd/notifier/console"
)

// TestTableFits checks that rows are lines, fit the width, and that no cell moves its neighbours, whatever is in them.
func TestTableFits(t *testing.T) {
	const width = 90
	t.Setenv("COLUMNS", strconv.Itoa(width))
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
			if n := utf8.RuneCountInString(line); n > width {
				t.Fatalf("%d columns: %s", n, line)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("not printable: %q", line)
			}
		}
		severity := strings.Index(lines[0], "SEVERITY")
		for i, line := range lines[1:] {
			fits, widths := tab.fit(width)
			want := clip(fits.rows[i][1], widths[1])
			if got := []rune(line); len(got) > severity && !strings.HasPrefix(string(got[severity:]), strings.TrimRight(want, " ")) {
				t.Fatalf("column of row %d does not begin under its head:\n%s\n%s", i, lines[0], line)
			}
		}
	})
}

// A program gets whole cells, a narrow terminal the names that people type and less of what they read.
func TestTableWidth(t *testing.T) {
	tab := table{head: []string{"SINCE", "SEVERITY", "ALERT", "SUMMARY"}}
	tab.add("2026-01-15 10:30:00", "critical", "CertificateExpiringSoon", strings.Repeat("the certificate expires ", 9))
	for columns, want := range map[string]string{
		"":   strings.Repeat("the certificate expires ", 9),
		"80": "  CertificateExpiringSoon  the certificate expires…",
		"60": "  CertificateExpiringSoon",
		"50": "  CertificateExpirin…",
	} {
		t.Setenv("COLUMNS", columns)
		var out strings.Builder
		if err := tab.write(&out); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(out.String(), strings.TrimRight(want, " ")+"\n") {
			t.Errorf("%s columns:\n%s", columns, &out)
		}
	}
}

// Colours are for terminals, and not for those who have said so.
func TestColors(t *testing.T) {
	null, err := os.Open(os.DevNull) // as good a terminal as a test has: a character device
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tt := range []struct {
		no, term string
		w        io.Writer
		want     bool
	}{{"", "xterm", null, true}, {"1", "xterm", null, false}, {"", "dumb", null, false}, {"", "xterm", &strings.Builder{}, false}} {
		t.Setenv("NO_COLOR", tt.no)
		t.Setenv("TERM", tt.term)
		if got := console.Colors(tt.w); got != tt.want {
			t.Errorf("NO_COLOR=%q TERM=%s %T: %v", tt.no, tt.term, tt.w, got)
		}
	}
}
