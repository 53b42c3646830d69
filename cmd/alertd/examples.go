package main

import (
	"strings"

	"github.com/alecthomas/kong"
)

// examples are shown by --help of each command, by its path. A test runs each through the parser.
var examples = map[string][]string{
	"serve": {
		"alertd serve",
		"alertd serve --rules my-rules --data /var/lib/alertd",
		"alertd serve --config.file alertmanager.yml",
	},
	"check":         {"alertd check --rules my-rules", "alertd check my-rules/routing.yaml", "alertd check --rules my-rules --lint all=error"},
	"test":          {"alertd test my-rules/tests/*.yaml"},
	"backtest":      {"alertd backtest my-rules --since 7d", "alertd backtest my-rules --against rules-of-today"},
	"demo":          {"alertd demo", "alertd demo --speed 10"},
	"alerts":        {"alertd alerts", "alertd alerts -o json"},
	"ack":           {"alertd ack DiskUsageHigh --service db --why 'rotating logs'", "alertd ack 382182d30b000f07 --for 2h"},
	"unack":         {"alertd unack DiskUsageHigh --service db"},
	"history":       {"alertd history --since 7d --severity critical", "alertd history --service db --all -o json"},
	"why":           {"alertd why DiskUsageHigh --service db", "alertd why --at 2026-01-15T03:30:00Z"},
	"queue show":    {"alertd queue"},
	"queue release": {"alertd queue release DiskUsageHigh", "alertd queue release --all"},
	"silence add": {
		"alertd silence add DiskUsageHigh service=db -c 'new disks' --duration 4h",
		"alertd silence add service=db -c 'backup' --cron '0 2 * * sat' --duration 90m --zone Europe/Berlin",
	},
	"silence preview": {"alertd silence preview service=db"},
	"silence list":    {"alertd silence list", "alertd silence list --expired"},
	"silence show":    {"alertd silence show 6bb36c7e"},
	"silence extend":  {"alertd silence extend 6bb36c7e 2h"},
	"silence expire":  {"alertd silence expire 6bb36c7e --why 'disks are in'"},
	"calendar show":   {"alertd calendar show --rules my-rules --next 30d"},
	"route test":      {"alertd route test severity=warning service=api", "alertd route test severity=critical --rules my-rules --at 2026-12-24T10:30:00Z"},
	"publish metric":  {"alertd publish metric http_requests_total 17 --service api -l code=500"},
	"publish health":  {"alertd publish health payments unhealthy --check database=unhealthy:5000"},
	"publish event":   {"alertd publish event deployment.completed --service payments -m 'v1.2.3 is live'"},
	"publish lines":   {"alertd publish -f events.ndjson"},
	"version":         {"alertd version"},
}

// general is what --help says of all commands.
const general = `The commands find the daemon by --url or $ALERTD_URL, and NATS by --nats or $ALERTD_NATS. They exit with 0 if all is well, with 1 if something
failed, and with 2 if they were called wrongly.`

// explain puts the examples into the help texts.
func explain(k *kong.Kong) error {
	k.Model.Detail = strings.ReplaceAll(general, "\n", " ")
	return kong.Visit(k.Model.Node, func(v kong.Visitable, next kong.Next) error {
		if n, ok := v.(*kong.Node); ok {
			if lines := examples[strings.TrimPrefix(n.Path(), "alertd ")]; lines != nil {
				n.Detail = "Examples:\n\n    " + strings.Join(lines, "\n    ")
			}
		}
		return next(nil)
	})
}
