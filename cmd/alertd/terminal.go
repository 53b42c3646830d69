package main

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/term"

	"alertd/notifier/console"
)

// columns is how many characters a line of w may have: those of the terminal that it is, or $COLUMNS. 0: as many as there are.
func columns(w io.Writer) int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if f, ok := w.(*os.File); ok && console.IsTerminal(f) {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return n
		}
	}
	return 0
}

// prose is how many characters a line of sentences has.
func prose(w io.Writer) int {
	const readable = 100
	if n := columns(w); n > 0 {
		return min(n, readable)
	}
	return readable
}
