package console_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"alertd"
	"alertd/notifier/console"
	"alertd/notifier/sendertest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestGolden(t *testing.T) {
	for name, n := range sendertest.Gallery() {
		for _, color := range []bool{false, true} {
			if color && name != "page" {
				continue
			}
			file := name
			if color {
				file += "-color"
			}
			t.Run(file, func(t *testing.T) {
				var b bytes.Buffer
				if _, err := console.New(&b, color, "").Send(t.Context(), n); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join("testdata", file+".txt")
				if *update {
					if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), b.String()); diff != "" {
					t.Errorf("(-want +got), go test -update writes it anew:\n%s", diff)
				}
				if color {
					return
				}
				for line := range strings.Lines(b.String()) {
					if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 && !strings.Contains(line, "http") {
						t.Errorf("wider than 80: %q", line)
					}
				}
			})
		}
	}
}

// brokenWriter takes some bytes and then fails.
type brokenWriter int

func (w brokenWriter) Write(b []byte) (int, error) {
	return min(int(w), len(b)), errors.New("closed pipe")
}

func TestWriteErrors(t *testing.T) {
	for w, want := range map[brokenWriter]alertd.Outcome{0: alertd.Retry, 9: alertd.Unknown} {
		_, err := console.New(w, false, "").Send(t.Context(), sendertest.Page())
		if de, ok := err.(*alertd.DeliveryError); !ok || de.Outcome != want {
			t.Errorf("after %d bytes: got %v, want %s", w, err, want)
		}
	}
}

func TestEscapesFromOutsideAreNotPrinted(t *testing.T) {
	var b bytes.Buffer
	if _, err := console.New(&b, false, "").Send(t.Context(), sendertest.Gallery()["hostile"]); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x07\u202e") {
		t.Errorf("%q", b.String())
	}
}

// Where alertd has a page, the console says where to take what fires: the alert, its group, or the list.
func TestAckLinks(t *testing.T) {
	for name, want := range map[string]string{
		"page":     "  Ack       http://alertd.example.org/a/ack?alert=",
		"grown":    "  Ack       http://alertd.example.org/a/ack?group=",
		"digest":   "  Acks      http://alertd.example.org/a/?notification=9b2f6c1e\n",
		"summary":  "  Acks      http://alertd.example.org/a/?notification=9b2f6c1e\n",
		"resolved": "",
	} {
		var b strings.Builder
		if _, err := console.New(&b, false, "http://alertd.example.org/a").Send(t.Context(), sendertest.Gallery()[name]); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) || want == "" && strings.Contains(b.String(), "Ack") {
			t.Errorf("%s: want %q in\n%s", name, want, b.String())
		}
	}
}

// A digest that is a draft has no id that a link could name, and what somebody else has judged has no value.
func TestDraftOfWhatWasPosted(t *testing.T) {
	n := sendertest.Gallery()["digest"]
	n.ID = ""
	for i := range n.Alerts {
		n.Alerts[i].Rule = alertd.RulePosted
	}
	var b strings.Builder
	if _, err := console.New(&b, false, "http://alertd.example.org").Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	for text, there := range map[string]bool{"  Acks      http://alertd.example.org/\n": true, "  State     firing since": true, "  Value ": false} {
		if strings.Contains(b.String(), text) != there {
			t.Errorf("%q: want %t in\n%s", text, there, b.String())
		}
	}
}
