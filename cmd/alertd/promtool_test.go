package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPromtoolAgrees runs Prometheus's promtool and `alertd test` over the same files: the tests of the shipped rules,
// and some thirty variations of them, of which most are wrong. They must pass and fail alike.
func TestPromtoolAgrees(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: it is in Debian's package prometheus")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tests"), 0o700); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var files []string
	write := func(name string, data []byte) {
		files = append(files, filepath.Join(dir, "tests", name))
		if err := os.WriteFile(files[len(files)-1], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"critical", "warning", "info", "self"} {
		rules, err := os.ReadFile("../../rules/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		// What alertd alone reads would let it keep alerts that Prometheus resolves.
		rules = regexp.MustCompile(`(?m)^ *# alertd:.*$`).ReplaceAll(rules, nil)
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), rules, 0o600); err != nil {
			t.Fatal(err)
		}
		tests, err := os.ReadFile("../../rules/tests/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		write(name+".yaml", tests)
		for i := range 8 {
			write(fmt.Sprintf("%s-%02d.yaml", name, i), vary(random, tests))
		}
	}

	var out bytes.Buffer
	cmd := exec.Command(promtool, append([]string{"test", "rules"}, files...)...)
	cmd.Stdout = &out
	_ = cmd.Run() // it fails, since most variations do; what it says about each file counts
	theirs := map[string]bool{}
	for part := range strings.SplitSeq(out.String(), "Unit Testing:  ") {
		name, rest, _ := strings.Cut(part, "\n")
		theirs[name] = strings.Contains(rest, "SUCCESS")
	}
	passed, failed := 0, 0
	for _, name := range files {
		want, ok := theirs[name]
		if !ok {
			t.Fatalf("promtool does not mention %s:\n%s", name, out.String())
		}
		f := testFile(name, &bytes.Buffer{})
		if got := !f.failed(); got != want {
			text, _ := os.ReadFile(name)
			t.Errorf("%s: passes with alertd: %t, with promtool: %t\n%s\n%s", filepath.Base(name), got, want, f.text(), text)
		}
		if want {
			passed++
		} else {
			failed++
		}
	}
	t.Logf("%d files pass and %d fail with both", passed, failed)
	if passed < 5 || failed < 10 {
		t.Errorf("%d files pass and %d fail: the variations show nothing", passed, failed)
	}
}

var (
	evalTime = regexp.MustCompile(`eval_time: [0-9a-z]+`)
	severity = regexp.MustCompile(`severity: (critical|warning|info)`)
	// Not of counters that grow: one that then jumps back is another rate for a promtool older than Prometheus 3, where a range
	// has its left end, too.
	values   = regexp.MustCompile(`values: [0-9.]+[x ]`)
	value    = regexp.MustCompile(`value: [0-9.]+`)
	interval = regexp.MustCompile(`(?m)^evaluation_interval: .*$`)
	word     = regexp.MustCompile(`(?m)(summary|next_step|description): .*`)
)

// vary changes one thing in a file of tests.
func vary(random *rand.Rand, text []byte) []byte {
	replace := func(what *regexp.Regexp, with func(string) string) []byte {
		found := what.FindAllIndex(text, -1)
		if len(found) == 0 {
			return text
		}
		at := found[random.IntN(len(found))]
		return bytes.Join([][]byte{text[:at[0]], []byte(with(string(text[at[0]:at[1]]))), text[at[1]:]}, nil)
	}
	switch random.IntN(6) {
	case 0:
		return replace(evalTime, func(string) string { return fmt.Sprintf("eval_time: %ds", random.IntN(1800)) })
	case 1:
		return replace(severity, func(string) string { return "severity: page" })
	case 2:
		return replace(values, func(s string) string { return fmt.Sprintf("values: %d%c", random.IntN(3), s[len(s)-1]) })
	case 3:
		return replace(value, func(string) string { return fmt.Sprintf("value: %d", random.IntN(3)) })
	case 4:
		return replace(interval, func(string) string { return fmt.Sprintf("evaluation_interval: %ds", 10+random.IntN(60)) })
	default:
		return replace(word, func(s string) string { return s[:strings.IndexByte(s, ':')] + ": something else" })
	}
}
