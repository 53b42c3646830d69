package amapi

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// versionInfo has all members that clients expect, known or not.
type versionInfo struct {
	Branch    string `json:"branch"`
	BuildDate string `json:"buildDate"`
	BuildUser string `json:"buildUser"`
	GoVersion string `json:"goVersion"`
	Revision  string `json:"revision"`
	Version   string `json:"version"`
}

// buildOf is what the binary knows of its making.
func buildOf(version string) versionInfo {
	v := versionInfo{Version: version, GoVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.time":
				v.BuildDate = s.Value
			}
		}
	}
	return v
}

func (a *api) getStatus(w http.ResponseWriter, r *http.Request) error {
	type cluster struct {
		Name   string `json:"name,omitempty"`
		Peers  []Peer `json:"peers"`
		Status string `json:"status"`
	}
	var out struct {
		Cluster cluster `json:"cluster"`
		Config  struct {
			Original string `json:"original"`
		} `json:"config"`
		Uptime      instant     `json:"uptime"`
		VersionInfo versionInfo `json:"versionInfo"`
	}
	out.Cluster = cluster{Peers: []Peer{}, Status: "disabled"}
	if peers := a.o.State.Peers(r.Context()); len(peers) > 0 {
		out.Cluster = cluster{peers[0].Name, slices.Clone(peers), "ready"}
		slices.SortFunc(out.Cluster.Peers, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	}
	out.Config.Original = a.o.State.RoutingYAML(r.Context())
	out.Uptime, out.VersionInfo = instant(a.o.StartedAt), a.build
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (a *api) getReceivers(w http.ResponseWriter, r *http.Request) error {
	f := alertFilter{}
	var err error
	if f.receiverMatchers, err = matchers(r.URL.Query(), "receiver_matchers"); err != nil {
		return problem(http.StatusBadRequest, "failed to parse receiver_matchers param: %v", err)
	}
	out := []Receiver{}
	for _, rc := range a.o.State.Receivers(r.Context()) {
		if matchAll(f.receiverMatchers, rc.Labels) {
			out = append(out, rc)
		}
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}
