package config

import (
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is the daemon's own settings, what `alertd serve --config FILE` reads. Start from [Default].
type Config struct {
	ExternalURL string // where people reach the dashboard, without a slash at the end; "" is the listener's address
	NATS        NATS
	Traces      Traces
	History     History
	Events      Events
	Check       Check
}

// NATS says which server to use and how to be let in. Files are named as the file names them.
type NATS struct {
	URL       string // one or several, separated by commas; "" embeds a server
	CredsFile string // a user's JWT and seed
	NKeyFile  string // a user's seed
	Token     Secret
	TLS       TLS
}

// TLS names the certificates for a server that wants them. Empty files mean the system's roots and no client
// certificate.
type TLS struct {
	CAFile   string
	CertFile string
	KeyFile  string
}

// Traces says where people look at a trace, and who is asked for it.
type Traces struct {
	URLTemplate string        // as [tracectx.ParseLink] reads it, also where the file names a product; "" makes no links
	Backend     *TraceBackend // nil: nobody is asked
}

// TraceBackend is asked whether it has a trace, and for its spans.
type TraceBackend struct {
	Kind  string // "jaeger" or "tempo"
	URL   string // of its query API
	OrgID string // Tempo's tenant; "" is none
	HTTP  *HTTP  // nil: no credentials, the system's roots
}

// History says how long the past is kept.
type History struct {
	Retention time.Duration
}

// Events says how long raw events are kept.
type Events struct {
	MaxAge   time.Duration
	MaxBytes int64 // 0: what the disk allows
}

// Check says how `alertd check` judges. The daemon does not read it.
type Check struct {
	Lints []LintSeverity // in the order of the file
}

// LintSeverity is the severity of one lint, or of all that are not named. Whether there is such a lint and such a
// severity is for who knows the lints to say, and where.
type LintSeverity struct {
	At             Pos // of the name
	Name, Severity string
}

// Default is what holds where the file says nothing: an embedded server, events for a day, history for 400 days.
func Default() Config {
	return Config{History: History{Retention: 400 * 24 * time.Hour}, Events: Events{MaxAge: 24 * time.Hour}}
}

// ParseConfig reads the daemon's settings, with [Default] for what the file leaves out. The name is for positions.
// env looks up what ${NAME} stands for, and readFile reads the files that *_file keys of secrets name. The error
// joins an [*Error] for each mistake.
func ParseConfig(name string, data []byte, env func(string) (string, bool), readFile func(string) ([]byte, error)) (Config, error) {
	p := &configParser{reader: reader{name: name, env: env, readFile: readFile}, out: Default()}
	if doc := p.parse(data); doc != nil {
		p.file(doc)
	}
	if _, err := p.done(); err != nil {
		return Config{}, err
	}
	return p.out, nil
}

type configParser struct {
	reader
	out Config
}

func (p *configParser) file(doc *yaml.Node) {
	c := &p.out
	p.object(doc, "the configuration", fields{
		"external_url": p.readExternalURL,
		"nats":         p.readNATS,
		"traces":       p.readTraces,
		"history": func(n *yaml.Node) {
			p.object(n, "history", fields{"retention": p.durationTo(&c.History.Retention, "retention", time.Hour)})
		},
		"events": func(n *yaml.Node) {
			p.object(n, "events", fields{
				"max_age":   p.durationTo(&c.Events.MaxAge, "max_age", time.Minute),
				"max_bytes": p.bytesTo(&c.Events.MaxBytes, "max_bytes"),
			})
		},
		"check": func(n *yaml.Node) {
			p.object(n, "check", fields{"lints": p.readLints})
		},
	})
}

func (p *configParser) readLints(n *yaml.Node) {
	for _, e := range p.entries(n, "lints") {
		severity, ok := p.text(e.value, "the severity of "+quote(e.key.Value))
		if ok {
			p.out.Check.Lints = append(p.out.Check.Lints, LintSeverity{p.pos(e.key), e.key.Value, severity})
		}
	}
}

func (p *configParser) readExternalURL(n *yaml.Node) {
	s, ok := p.text(n, "external_url")
	if !ok || s == "" {
		return
	}
	if err := httpURL(s); err != nil {
		p.fail(target(n), "external_url: %v", err)
		return
	}
	p.out.ExternalURL = strings.TrimRight(s, "/")
}

func (p *configParser) readNATS(n *yaml.Node) {
	c := &p.out.NATS
	p.object(n, "nats", fields{
		"url":        p.readNATSURL,
		"creds_file": p.textTo(&c.CredsFile, "creds_file"),
		"nkey_file":  p.textTo(&c.NKeyFile, "nkey_file"),
		"token":      p.secretTo(&c.Token, "token"),
		"token_file": p.secretFileTo(&c.Token, "token_file"),
		"tls": func(n *yaml.Node) {
			p.object(n, "tls", fields{
				"ca_file":   p.textTo(&c.TLS.CAFile, "ca_file"),
				"cert_file": p.textTo(&c.TLS.CertFile, "cert_file"),
				"key_file":  p.textTo(&c.TLS.KeyFile, "key_file"),
			})
			if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
				p.fail(target(n), "tls: cert_file and key_file go together; add the other one")
			}
		},
	})
	p.oneOf(n, "nats", "creds_file", "nkey_file", "token", "token_file")
}

// readNATSURL never quotes the URL: it may hold a password.
func (p *configParser) readNATSURL(n *yaml.Node) {
	s, ok := p.text(n, "url")
	if !ok || s == "" {
		return
	}
	for one := range strings.SplitSeq(s, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" || !strings.Contains(" nats tls ws wss ", " "+u.Scheme+" ") {
			p.fail(target(n), "nats url: want nats://HOST:4222 (or tls://, ws://, wss://), several separated by commas")
			return
		}
	}
	p.out.NATS.URL = s
}
