package tracectx

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Site is where people look at traces, by the name of the product. UI is one of [Sites]; of the other fields each
// product takes those that its addresses are made of.
type Site struct {
	UI          string
	URL         string // where the product is reached, without a path of a page; hosted ones have a default
	Datasource  string // grafana: the uid of the Tempo data source
	OrgID       string // grafana: the organisation, by default 1
	Team        string // honeycomb
	Environment string // honeycomb
	Dataset     string // honeycomb
	Region      string // xray
	Project     string // gcp
}

// site is how a product addresses one trace.
type site struct {
	url      string // the default; "" where there is none
	needs    []string
	template func(base string, s Site) string // every text of s comes percent-encoded
}

// Grafana's address holds JSON. Its placeholders are letters, which no encoding changes.
const (
	paneTrace = "PANETRACEID"
	paneStart = "PANESTARTMS"
	paneEnd   = "PANEENDMS"
)

var sites = map[string]site{
	"jaeger": {template: func(base string, _ Site) string { return base + "/trace/{{.TraceID}}" }},
	"zipkin": {template: func(base string, _ Site) string { return base + "/zipkin/traces/{{.TraceID}}" }},
	"grafana": {
		needs:    []string{"datasource"},
		template: explore,
	},
	"datadog": {
		url:      "https://app.datadoghq.com",
		template: func(base string, _ Site) string { return base + "/apm/trace/{{.TraceID}}" },
	},
	"honeycomb": { // without times it looks at the last two hours only
		url:   "https://ui.honeycomb.io",
		needs: []string{"team", "environment", "dataset"},
		template: func(base string, s Site) string {
			return base + "/" + s.Team + "/environments/" + s.Environment + "/datasets/" + s.Dataset +
				"/trace?trace_id={{.TraceID}}{{with .SpanID}}&span={{.}}{{end}}&trace_start_ts={{.StartS}}&trace_end_ts={{.EndS}}"
		},
	},
	"signoz": {template: func(base string, _ Site) string {
		return base + "/trace/{{.TraceID}}{{with .SpanID}}?spanId={{.}}{{end}}"
	}},
	"xray": {
		url:   "https://console.aws.amazon.com",
		needs: []string{"region"},
		template: func(base string, s Site) string {
			return base + "/xray/home?region=" + s.Region + "#/traces/{{.XRayID}}"
		},
	},
	"gcp": {
		url:   "https://console.cloud.google.com",
		needs: []string{"project"},
		template: func(base string, s Site) string {
			return base + "/traces/explorer;traceId={{.TraceID}}?project=" + s.Project
		},
	},
	"elastic": {template: func(base string, _ Site) string { // Kibana
		return base + "/app/apm/link-to/trace/{{.TraceID}}?rangeFrom={{.StartRFC3339}}&rangeTo={{.EndRFC3339}}"
	}},
}

// Sites are the products whose addresses are known, sorted. Tempo has no page of its own: people look at it in
// grafana.
func Sites() []string {
	names := make([]string, 0, len(sites))
	for name := range sites {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Template is the link template of the site, for [ParseLink]. The error says which field is missing, or is of another
// product.
func (s Site) Template() (string, error) {
	if s.UI == "tempo" {
		return "", fmt.Errorf("tempo has no page for people; write grafana, with the url of Grafana and the uid of Tempo's data source")
	}
	known, ok := sites[s.UI]
	if !ok {
		return "", fmt.Errorf("%q is none of %s; for another one write a url_template", s.UI, strings.Join(Sites(), ", "))
	}
	fields := []struct {
		name     string
		value    *string
		optional bool
	}{
		{"datasource", &s.Datasource, false},
		{"org_id", &s.OrgID, s.UI == "grafana"},
		{"team", &s.Team, false},
		{"environment", &s.Environment, false},
		{"dataset", &s.Dataset, false},
		{"region", &s.Region, false},
		{"project", &s.Project, false},
	}
	for _, f := range fields {
		switch needed := slices.Contains(known.needs, f.name); {
		case needed && *f.value == "":
			return "", fmt.Errorf("%s needs %s", s.UI, strings.Join(known.needs, ", "))
		case !needed && !f.optional && *f.value != "":
			return "", fmt.Errorf("%s has no %s", s.UI, f.name)
		}
		*f.value = encode(*f.value)
	}
	if s.URL == "" {
		s.URL = known.url
	}
	if s.URL == "" {
		return "", fmt.Errorf("%s needs url, where people reach it: https://…", s.UI)
	}
	base, err := url.Parse(strings.TrimRight(s.URL, "/"))
	switch {
	case err != nil:
		return "", fmt.Errorf("url is no URL; write https://HOST")
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return "", fmt.Errorf("url must begin with https:// or http:// and name a host")
	case base.User != nil:
		return "", fmt.Errorf("url names a user: everybody who is told of an alert would see it")
	case base.RawQuery != "" || base.Fragment != "":
		return "", fmt.Errorf("url must end before ? and #: it is where %s is reached, not one of its pages", s.UI)
	}
	return known.template(base.String(), s), nil
}

// explore is the address of a trace in Grafana's Explore, which takes its state as JSON.
func explore(base string, s Site) string {
	type datasource struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	type query struct {
		RefID      string     `json:"refId"`
		Datasource datasource `json:"datasource"`
		QueryType  string     `json:"queryType"`
		Query      string     `json:"query"`
	}
	type pane struct {
		Datasource string  `json:"datasource"`
		Queries    []query `json:"queries"`
		Range      struct {
			From string `json:"from"`
			To   string `json:"to"`
		} `json:"range"`
	}
	uid, _ := url.QueryUnescape(s.Datasource) // it was encoded a moment ago
	p := pane{Datasource: uid, Queries: []query{{"A", datasource{"tempo", uid}, "traceql", paneTrace}}}
	p.Range.From, p.Range.To = paneStart, paneEnd
	state, err := json.Marshal(map[string]pane{"a": p})
	if err != nil {
		panic(err) // texts are always JSON
	}
	panes := strings.NewReplacer(paneTrace, "{{.TraceID}}", paneStart, "{{.StartMS}}", paneEnd, "{{.EndMS}}").Replace(encode(string(state)))
	org := s.OrgID
	if org == "" {
		org = "1"
	}
	return base + "/explore?schemaVersion=1&panes=" + panes + "&orgId=" + org
}
