package main

import (
	"io"
	"log/slog"
	"net/url"
	"strings"

	"alertd/config"
)

// alertmanagerFlags are Alertmanager's, so that the command line of one starts the other.
type alertmanagerFlags struct {
	ConfigFile  string   `name:"config.file" group:"As Alertmanager" type:"existingfile" placeholder:"FILE" help:"A routing file such as an alertmanager.yml. Without --rules there are no rules: what others post is routed."`
	StoragePath string   `name:"storage.path" group:"As Alertmanager" placeholder:"DIR" help:"As --data."`
	WebListen   []string `name:"web.listen-address" group:"As Alertmanager" sep:"none" placeholder:"HOST:PORT" help:"As --listen."`
	ExternalURL string   `name:"web.external-url" group:"As Alertmanager" placeholder:"URL" help:"Where people reach alertd, for links; before external_url of --config."`
	RoutePrefix string   `name:"web.route-prefix" group:"As Alertmanager" placeholder:"PATH" help:"Answer below this path. Default: the path of --web.external-url."`
	LogLevel    string   `name:"log.level" group:"As Alertmanager" enum:"debug,info,warn,error" default:"info" help:"${enum}."`
	LogFormat   string   `name:"log.format" group:"As Alertmanager" enum:"logfmt,json" default:"logfmt" help:"${enum}."`
	Cluster     cluster  `embed:"" prefix:"cluster."`
	Upkeep      upkeep   `embed:""`
}

// upkeep are flags without an effect: what alertd keeps and for how long is in its own configuration, and nothing has to be swept.
type upkeep struct {
	Retention           string `hidden:"" name:"data.retention"`
	Maintenance         string `hidden:"" name:"data.maintenance-interval"`
	GC                  string `hidden:"" name:"alerts.gc-interval"`
	DispatchMaintenance string `hidden:"" name:"dispatch.maintenance-interval"`
	MemoryRatio         string `hidden:"" name:"auto-gomemlimit.ratio"`
}

// cluster are flags without an effect: nodes find each other through NATS.
type cluster struct {
	ListenAddress           string   `hidden:""`
	AdvertiseAddress        string   `hidden:""`
	Peer                    []string `hidden:"" sep:"none"`
	PeerName                string   `hidden:""`
	PeersResolveTimeout     string   `hidden:""`
	PeerTimeout             string   `hidden:""`
	GossipInterval          string   `hidden:""`
	PushpullInterval        string   `hidden:""`
	TCPTimeout              string   `hidden:"" name:"tcp-timeout"`
	ProbeTimeout            string   `hidden:""`
	ProbeInterval           string   `hidden:""`
	SettleTimeout           string   `hidden:""`
	ReconnectInterval       string   `hidden:""`
	ReconnectTimeout        string   `hidden:""`
	TLSConfig               string   `hidden:"" name:"tls-config"`
	Label                   string   `hidden:""`
	AllowInsecurePublicAddr bool     `hidden:"" name:"allow-insecure-public-advertise-address-discovery"`
}

// set reports whether any of them asks for something. An empty listen address turns Alertmanager's cluster off.
func (c cluster) set() bool {
	only := strings.Join(c.Peer, "") + c.ListenAddress + c.AdvertiseAddress + c.PeerName + c.PeersResolveTimeout + c.PeerTimeout +
		c.GossipInterval + c.PushpullInterval + c.TCPTimeout + c.ProbeTimeout + c.ProbeInterval + c.SettleTimeout +
		c.ReconnectInterval + c.ReconnectTimeout + c.TLSConfig + c.Label
	return only != "" || c.AllowInsecurePublicAddr
}

// apply puts Alertmanager's flags where alertd has its own, and refuses what cannot be honoured.
func (f alertmanagerFlags) apply(c *serveCmd) error {
	if len(f.WebListen) > 1 {
		return &usageError{msg: "alertd listens at one address, and --web.listen-address is given more than once", hint: "--web.listen-address :9093"}
	}
	if len(f.WebListen) == 1 {
		c.Listen = f.WebListen[0]
	}
	if f.StoragePath != "" {
		c.Data = f.StoragePath
	}
	if f.ExternalURL != "" {
		if u, err := url.Parse(f.ExternalURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return &usageError{msg: "--web.external-url is not a URL that people could open", hint: "--web.external-url https://alerts.example.com"}
		}
	}
	return nil
}

// configure lets flags go before the configuration file.
func (f alertmanagerFlags) configure(c *config.Config) {
	if f.ExternalURL != "" {
		c.ExternalURL = strings.TrimRight(f.ExternalURL, "/")
	}
}

// explain says what the flags do not do here.
func (f alertmanagerFlags) explain(log *slog.Logger) {
	if f.Cluster.set() {
		log.Warn("--cluster.* has no effect: several alertd on one NATS (--nats URL) elect a leader, and need no peers")
	}
	if f.Upkeep != (upkeep{}) {
		log.Warn("--data.retention and flags of upkeep have no effect: history.retention in --config says how long alertd keeps what happened")
	}
}

// prefix is the path that alertd answers below; "" is the root.
func (f alertmanagerFlags) prefix() string {
	path := f.RoutePrefix
	if path == "" {
		if u, err := url.Parse(f.ExternalURL); err == nil {
			path = u.Path
		}
	}
	if path = strings.Trim(path, "/"); path == "" {
		return ""
	}
	return "/" + path
}

// logger writes as --log.level and --log.format say.
func (f alertmanagerFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level // info, should the text be unknown
	_ = level.UnmarshalText([]byte(f.LogLevel))
	o := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
