// Command alertd turns what services say about themselves on NATS into as few, as quick and as useful
// notifications as possible. `alertd serve` is the daemon; the other commands talk to it, check its files, or
// publish events for people without a NATS client.
//
// What goes where: results on stdout, everything else on stderr. Exit codes: 0 well, 1 our own failure, 2 wrong
// usage. An error ends with the next thing to type.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// commands is the command line. Every field is a command and has a file of its own.
type commands struct {
	Serve    serveCmd    `cmd:"" help:"Run the daemon until it is told to end; SIGHUP makes it read its files again."`
	Check    checkCmd    `cmd:"" help:"Check rule, routing and health files; every problem with its place."`
	Test     testCmd     `cmd:"" help:"Run unit tests of rules, in promtool's format, and of who is told."`
	Backtest backtestCmd `cmd:"" help:"Replay recorded events through rules and routing: what would have been told?"`
	Demo     demoCmd     `cmd:"" help:"Run the daemon with a synthetic shop of five services, one of which breaks."`
	Publish  publishCmd  `cmd:"" help:"Publish an event over NATS and wait until the stream has it."`
	Alerts   alertsCmd   `cmd:"" help:"Show the alerts that are active now."`
	Ack      ackCmd      `cmd:"" help:"Take alerts that fire: nobody is reminded of them or called in any more."`
	Unack    unackCmd    `cmd:"" help:"Give alerts back that somebody has taken."`
	History  historyCmd  `cmd:"" help:"Show what happened: every change of every alert's state."`
	Why      whyCmd      `cmd:"" help:"Say why an alert was told, or was not: every decision, with its reason."`
	Queue    queueCmd    `cmd:"" help:"Show the alerts that wait, why, and until when; let them go."`
	Silence  silenceCmd  `cmd:"" help:"Make, show and end silences; see first what one would hide."`
	Calendar calendarCmd `cmd:"" help:"Show business hours: openings, holidays, changes of the clocks."`
	Route    routeCmd    `cmd:"" help:"Show who is told of an alert, when and why."`
	Version  versionCmd  `cmd:"" help:"Show which alertd this is."`
}

// streams are the three files of a process.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run is the whole process with its surroundings as arguments, so that a test can be the process. It returns the
// exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the first signal asks, a second one kills: never trap an operator
	return report(stderr, dispatch(ctx, args, streams{in: stdin, out: stdout, err: stderr}))
}

// dispatch parses the arguments and runs the command that they name.
func dispatch(ctx context.Context, args []string, std streams) error {
	var root commands
	asks := std.out
	if len(args) == 0 {
		asks = std.err // nobody asked
	}
	helped := false // kong goes on after it has printed a help text, and then misses the arguments
	parser, err := newParser(&root,
		kong.Writers(asks, std.err),
		kong.Exit(func(int) { helped = true }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	if err != nil {
		return err
	}
	command, err := parser.Parse(negatives(asked(args)))
	switch {
	case len(args) == 0:
		return &usageError{msg: "name a command", hint: "alertd demo shows what it does, alertd serve runs it"}
	case helped:
		return nil
	case err != nil:
		return misused(err, args)
	default:
		return command.Run()
	}
}

// newParser reads the command line into root.
func newParser(root *commands, more ...kong.Option) (*kong.Kong, error) {
	return kong.New(root, append(more,
		kong.Name("alertd"),
		kong.Description("Calm alerting: events over NATS in; few, quick and useful notifications out."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.PostBuild(explain),
	)...)
}

// asked turns "alertd" and "alertd help silence add" into the questions for help that they are.
func asked(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

// negatives lets "-5" be a number and not a flag: its hyphen becomes a minus sign, which the number's reader
// knows. No flag of ours begins with a digit.
func negatives(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if len(arg) > 1 && arg[0] == '-' && (arg[1] == '.' || '0' <= arg[1] && arg[1] <= '9' || strings.EqualFold(arg, "-inf")) {
			args[i] = minusSign + arg[1:]
		}
	}
	return args
}

const minusSign = "\u2212"

// misused turns a parse error of kong into ours.
func misused(err error, args []string) error {
	hint := "alertd --help"
	if parse, ok := errors.AsType[*kong.ParseError](err); ok && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			if p := node.Parent; p != nil && p.DefaultCmd == node && !slices.Contains(args, node.Name) {
				node = p // nobody named the command
			}
			hint = node.FullPath() + " --help"
		}
	}
	return &usageError{msg: err.Error(), hint: hint}
}

// usageError is the caller's mistake: exit code 2.
type usageError struct{ msg, hint string }

func (e *usageError) Error() string { return withHint(e.msg, e.hint) }

// failure is our own, or the world's: exit code 1.
type failure struct {
	err  error
	hint string // the next thing to type
}

func (e *failure) Error() string { return withHint(e.err.Error(), e.hint) }
func (e *failure) Unwrap() error { return e.err }

func withHint(msg, hint string) string {
	if hint == "" {
		return msg
	}
	return msg + "\n  hint: " + hint
}

// report prints the error, if there is one, and returns the exit code that it means.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "alertd: %s\n", err)
	if _, ok := errors.AsType[*usageError](err); ok {
		return 2
	}
	return 1
}
