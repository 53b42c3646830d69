package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"alertd"
)

// Pos is a place in a file. Lines and columns count from 1.
type Pos struct {
	File         string
	Line, Column int
}

// String is "routing.yaml:12:5".
func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

func (p Pos) compare(q Pos) int {
	return cmp.Or(strings.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Error is one mistake in a file. Msg says what is wrong and what to type instead.
type Error struct {
	Pos
	Msg string
}

// Error is "routing.yaml:12:5: …".
func (e *Error) Error() string { return e.Pos.String() + ": " + e.Msg }

// Warning is something in a file that has no effect, or hardly the one that was meant. The policy stands all the same.
type Warning struct {
	Pos
	Msg string
}

// String is "routing.yaml:12:5: …".
func (w Warning) String() string { return w.Pos.String() + ": " + w.Msg }

// maxProblems bounds what one file can say about itself.
const maxProblems = 50

// join makes one error of many, in the order of the file, or nil of none.
func join(problems []*Error) error {
	slices.SortStableFunc(problems, func(a, b *Error) int { return a.compare(b.Pos) })
	problems = slices.CompactFunc(problems, func(a, b *Error) bool { return *a == *b })
	var errs []error
	for i, p := range problems {
		if i == maxProblems {
			errs = append(errs, fmt.Errorf("%s: and %d more", p.File, len(problems)-i))
			break
		}
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// didYouMean is a hint to append to an error, or "".
func didYouMean(name string, names []string) string {
	if n := alertd.Nearest(name, names); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	return ""
}
