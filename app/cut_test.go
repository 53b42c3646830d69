package app

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"alertd"
)

// However much is decided at once, it goes into commits that fit: what must stay together does, and nothing is lost.
func TestCut(t *testing.T) {
	kinds := []func() alertd.Entry{
		func() alertd.Entry { return alertd.Entry{Transition: &alertd.Transition{}} },
		func() alertd.Entry { return alertd.Entry{Joined: &alertd.Joined{}} },
		func() alertd.Entry { return alertd.Entry{Flushed: &alertd.Flushed{}} },
		func() alertd.Entry { return alertd.Entry{Planned: &alertd.Planned{}} },
		func() alertd.Entry { return alertd.Entry{Withheld: &alertd.Withheld{}} },
	}
	rapid.Check(t, func(t *rapid.T) {
		var entries []alertd.Entry
		for range rapid.IntRange(1, 20).Draw(t, "runs") {
			kind := rapid.SampledFrom(kinds).Draw(t, "kind")
			for range rapid.IntRange(1, 30).Draw(t, "length") {
				entries = append(entries, kind())
			}
		}
		const limit = 2000
		parts, err := cut(entries, limit)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(slices.Concat(parts...), entries, func(a, b alertd.Entry) bool {
			return a.Transition == b.Transition && a.Joined == b.Joined && a.Flushed == b.Flushed && a.Planned == b.Planned && a.Withheld == b.Withheld
		}) {
			t.Fatal("something is lost or in another order")
		}
		for i, part := range parts[1:] {
			first := part[0]
			if first.Joined != nil || first.Planned != nil {
				t.Fatalf("part %d begins with what follows from the part before", i+1)
			}
			if first.Withheld == nil {
				continue
			}
			rest := slices.Concat(parts[i+1:]...)
			next := slices.IndexFunc(rest, func(e alertd.Entry) bool { return e.Withheld == nil })
			if next >= 0 && rest[next].Transition == nil && rest[next].Flushed == nil {
				t.Fatalf("part %d begins with reasons, and what follows from the part before comes after them", i+1)
			}
		}
	})

	entries := []alertd.Entry{{Flushed: &alertd.Flushed{}}}
	for range 5000 {
		entries = append(entries, alertd.Entry{Withheld: &alertd.Withheld{}})
	}
	parts, err := cut(entries, maxCommit)
	if err != nil || len(parts) < 2 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	for _, part := range parts {
		if b, err := json.Marshal(part); err != nil || len(b) > maxCommit+2 {
			t.Errorf("a part of %d bytes, %v", len(b), err)
		}
	}
}
