// Command bench measures alertd: the rules by themselves, in this process; and all of it from outside, where it starts
// the real binary with real NATS, SQLite and a webhook, publishes events, and times the pages that come back. It prints
// a table and writes the same as JSON.
//
//	go run ./bench [-json FILE] [-run REGEXP] [-binary FILE]
//
// Publisher, NATS, daemon and webhook share this machine's cores, and whatever else runs there does too: the load
// average is printed beside the numbers. The whole takes less than ten minutes.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"alertd/e2e"
)

// budget bounds the whole run.
const budget = 15 * time.Minute

// result is one measured number.
type result struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Goal  float64 `json:"goal,omitempty"` // 0: none was set
	Note  string  `json:"note,omitempty"` // how it was measured
	Error string  `json:"error,omitempty"`
}

// report is what the JSON file holds.
type report struct {
	Time       time.Time `json:"time"`
	Go         string    `json:"go"`
	CPUs       int       `json:"cpus"`
	LoadBefore string    `json:"load_before"` // 1, 5 and 15 minutes
	LoadAfter  string    `json:"load_after"`
	Results    []result  `json:"results"`
}

// scenario is something that is measured.
type scenario struct {
	name   string
	run    func(context.Context, *bench) ([]result, error)
	inside bool // in this process, with no daemon
}

// scenarios run one after the other, each with a daemon of its own, if any.
var scenarios = []scenario{
	{name: "cost", run: costs, inside: true},
	{name: "load rules", run: loading, inside: true},
	{name: "health polls", run: healthPolls, inside: true},
	{name: "latency idle", run: latencyIdle},
	{name: "latency loaded", run: latencyLoaded},
	{name: "throughput single", run: func(ctx context.Context, b *bench) ([]result, error) { return throughput(ctx, b, 1, 60_000) }},
	{name: "throughput packed", run: func(ctx context.Context, b *bench) ([]result, error) { return throughput(ctx, b, 100, 1_000_000) }},
	{name: "memory series", run: memorySeries},
	{name: "memory alerts", run: memoryAlerts},
	{name: "storm", run: storm},
	{name: "posts 64", run: func(ctx context.Context, b *bench) ([]result, error) { return posting(ctx, b, 10_000, 64) }},
	{name: "posts 1000", run: func(ctx context.Context, b *bench) ([]result, error) { return posting(ctx, b, 10_000, 1000) }},
	{name: "posts many", run: func(ctx context.Context, b *bench) ([]result, error) { return posting(ctx, b, 100_000, 1000) }},
	{name: "posts very many", run: func(ctx context.Context, b *bench) ([]result, error) { return posting(ctx, b, 500_000, 1000) }},
}

func main() {
	file := flag.String("json", "bench.json", "where to write the results as JSON; empty: nowhere")
	endpoints := flag.Bool("endpoints", false, "serve the endpoints that are polled, until the input ends; the benchmark starts itself so")
	binary := flag.String("binary", "", "measure this alertd instead of one that is built from the source")
	only := flag.String("run", "", "run only scenarios whose name fits this regular expression")
	flag.Parse()
	if *endpoints {
		if err := serveEndpoints(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	fits, err := regexp.Compile(*only)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		err = measure(ctx, *file, *binary, fits)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, file, binary string, fits *regexp.Regexp) error {
	dir, err := os.MkdirTemp("", "alertd-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	chosen := slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return !fits.MatchString(s.name) })
	if binary == "" && slices.ContainsFunc(chosen, func(s scenario) bool { return !s.inside }) {
		fmt.Fprintln(os.Stderr, "building alertd …")
		if binary, err = e2e.Build(ctx, dir, false); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()

	r := report{Time: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), CPUs: runtime.NumCPU(), LoadBefore: loadAverage()}
	failed := 0
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "%s …\n", s.name)
		results, err := s.measure(ctx, binary, dir)
		r.Results = append(r.Results, results...)
		if err != nil {
			failed++
			r.Results = append(r.Results, result{Name: s.name, Error: err.Error()})
		}
	}
	r.LoadAfter = loadAverage()
	if err := r.print(os.Stdout); err != nil {
		return err
	}
	if err := r.write(file); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d scenarios failed", failed)
	}
	return nil
}

func (s *scenario) measure(ctx context.Context, binary, dir string) ([]result, error) {
	if s.inside {
		return s.run(ctx, nil)
	}
	return withDaemon(ctx, binary, dir, s.run)
}

// write stores the report as JSON, if there is a name for it.
func (r *report) write(file string) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644) //nolint:gosec // results are no secret
}

// print is the table.
func (r *report) print(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d CPUs, load average %s before, %s after\n\n", r.Go, r.CPUs, r.LoadBefore, r.LoadAfter)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEASURED\tVALUE\tUNIT\tGOAL\tHOW")
	for _, x := range r.Results {
		goal := "-"
		if x.Goal != 0 {
			goal = short(x.Goal)
		}
		if x.Error != "" {
			first, _, _ := strings.Cut(x.Error, "\n")
			fmt.Fprintf(t, "%s\tfailed\t\t%s\t%s\n", x.Name, goal, first)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", x.Name, short(x.Value), x.Unit, goal, x.Note)
	}
	return t.Flush()
}

// short is a number as a person reads it.
func short(v float64) string {
	if v >= 1000 {
		s := fmt.Sprintf("%.0f", v)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	}
	return fmt.Sprintf("%.3g", v)
}

// loadAverage is that of 1, 5 and 15 minutes, where the system tells.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}
