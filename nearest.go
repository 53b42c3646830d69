package alertd

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/util/strutil"
)

// Nearest returns the one of known that somebody most likely meant who wrote word, or "" where none is like it. Upper and
// lower case are one; of two that are equally near it is the first in the alphabet.
func Nearest(word string, known []string) string {
	const (
		alike = 0.81 // of Jaro and Winkler: "group_weit" is like group_wait (0.95), "boss" is not like ops (0.72)
		long  = 64   // bytes: longer words are not compared
	)
	if len(word) > long {
		return ""
	}
	best, most := "", alike
	like := strutil.NewJaroWinklerMatcher(strings.ToLower(word))
	for _, k := range slices.Sorted(slices.Values(known)) {
		if len(k) > long {
			continue
		}
		if score := like.Score(strings.ToLower(k)); score > most {
			best, most = k, score
		}
	}
	return best
}
