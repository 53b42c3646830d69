package config_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"alertd/calendar"
	"alertd/config"
)

// withCalendar has what the calendar says, with the mandatory rest.
func withCalendar(body string) string {
	return "route: {receiver: a}\nreceivers: [{name: a}]\ncalendars:\n  office:\n    time_zone: Europe/Berlin\n    hours: ['mon-fri 09:00-18:00']\n" + body
}

const companyICS = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\n" +
	"BEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261227\r\nSUMMARY:Closed\\, all of us\r\nEND:VEVENT\r\n" +
	"BEGIN:VEVENT\r\nUID:2\r\nDTSTART;VALUE=DATE:20200615\r\nRRULE:FREQ=YEARLY;UNTIL=20280615\r\nEXDATE;VALUE=DATE:20270615\r\nSUMMARY:Founders' day\r\nEND:VEVENT\r\n" +
	"BEGIN:VEVENT\r\nUID:2\r\nRECURRENCE-ID;VALUE=DATE:20260615\r\nDTSTART;VALUE=DATE:20260617\r\nSUMMARY:Founders' day\\, moved\r\nEND:VEVENT\r\n" +
	"BEGIN:VEVENT\r\nUID:3\r\nDTSTART:20260101T120000Z\r\nDTEND:20260101T130000Z\r\nSUMMARY:Lunch\r\nEND:VEVENT\r\n" +
	"BEGIN:VEVENT\r\nUID:4\r\nDTSTART;VALUE=DATE:20260203\r\nSTATUS:CANCELLED\r\nSUMMARY:Off\r\nEND:VEVENT\r\n" +
	"BEGIN:VEVENT\r\nUID:5\r\nDTSTART;TZID=Europe/Berlin:20260505T000000\r\nDTEND;TZID=Europe/Berlin:20260506T000000\r\nSUMMARY:As some programs\r\n  write it\r\nEND:VEVENT\r\n" +
	"BEGIN:VEVENT\r\nUID:6\r\nDTSTART;VALUE=DATE:20260706\r\nDURATION:P2D\r\nSUMMARY:Two\r\nEND:VEVENT\r\n" +
	"END:VCALENDAR\r\n"

func TestCalendarSources(t *testing.T) {
	files := fstest.MapFS{
		"routing.yaml": {Data: []byte(withCalendar("    country: de-by\n    ics: lists/company.ics\n    holidays: ['2026-12-31']\n    special: {'2026-12-24': ['09:00-12:00'], '2026-05-01': ['10:00-11:00'], '2027-01-04': []}\n"))},
	}
	files["lists/company.ics"] = &fstest.MapFile{Data: []byte(companyICS)}
	p, err := config.Load(files, env, readFile)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range p.Routing.Calendars["office"].Days() {
		if d.Date >= "2026-05-01" && d.Date <= "2027-01-06" || d.Source == "company.ics" {
			got = append(got, strings.Join([]string{d.Date, strings.Join(d.Hours, ","), d.Name, d.Source}, "|"))
		}
	}
	want := []string{
		"2020-06-15||Founders' day|company.ics", "2021-06-15||Founders' day|company.ics", "2022-06-15||Founders' day|company.ics",
		"2023-06-15||Founders' day|company.ics", "2024-06-15||Founders' day|company.ics", "2025-06-15||Founders' day|company.ics",
		"2026-05-01|10:00-11:00||special",
		"2026-05-05||As some programs write it|company.ics",
		"2026-05-14||Christi Himmelfahrt|country de-by",
		"2026-05-25||Pfingstmontag|country de-by",
		"2026-06-04||Fronleichnam|country de-by",
		"2026-06-17||Founders' day, moved|company.ics",
		"2026-07-06||Two|company.ics", "2026-07-07||Two|company.ics",
		"2026-10-03||Tag der Deutschen Einheit|country de-by",
		"2026-11-01||Allerheiligen|country de-by",
		"2026-12-24|09:00-12:00||special",
		"2026-12-25||Closed, all of us|company.ics", "2026-12-26||Closed, all of us|company.ics",
		"2026-12-31|||holidays",
		"2027-01-01||Neujahrstag|country de-by",
		"2027-01-04|||special",
		"2027-01-06||Heilige Drei Könige|country de-by",
		"2028-06-15||Founders' day|company.ics",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("days (-want +got)\n%s", diff)
	}
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0].String(), `1 of them, the first is "Lunch"`) {
		t.Errorf("warnings %v", p.Warnings)
	}

	files["lists/company.ics"] = &fstest.MapFile{Data: []byte(strings.Replace(companyICS, "20261227", "20261228", 1))}
	if again, err := config.Load(files, env, readFile); err != nil || again.Version == p.Version {
		t.Errorf("another ICS file kept the version (%v)", err)
	}
}

// Public holidays are facts, so they are looked up by hand: Easter, days that move to Monday, days of one region only.
func TestCountries(t *testing.T) {
	for _, tt := range []struct{ country, date, name string }{
		{"de", "2026-04-03", "Karfreitag"},
		{"DE-NW", "2027-05-27", "Fronleichnam"},
		{"us", "2026-11-26", "Thanksgiving Day"},
		{"us", "2026-07-03", "Independence Day (observed)"},
		{"us", "2026-07-04", "Independence Day"},
		{"gb", "2026-12-28", "Boxing Day (observed)"},
		{"br", "2026-04-21", "Tiradentes"},
		{"ch-zh", "2026-08-01", "Bundesfeiertag"},
		{"ecb", "2026-05-01", "Labour Day"},
	} {
		r := parse(t, withCalendar("    country: "+tt.country+"\n"))
		i := slices.IndexFunc(r.Calendars["office"].Days(), func(d calendar.Day) bool { return d.Date == tt.date })
		if i < 0 || r.Calendars["office"].Days()[i].Name != tt.name {
			t.Errorf("%s %s is not %q", tt.country, tt.date, tt.name)
		}
	}
}

func TestStaleHolidays(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		body string
		want string
	}{
		{"", ""},
		{"    country: de\n    holidays: ['2026-12-24']\n", ""},
		{"    special: {'2026-12-24': ['09:00-12:00']}\n", ""},
		{"    holidays: ['2026-12-24', '2027-12-24']\n", ""},
		{"    holidays: ['2026-12-25', '2026-12-24']\n", `routing.yaml:4:3: calendar "office": its last holiday is 2026-12-25; add those of next year`},
	} {
		r, _, err := config.ParseRouting("routing.yaml", []byte(withCalendar(tt.body)), env, readFile)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, w := range r.Stale(now) {
			got.WriteString(w.String())
		}
		if !strings.HasPrefix(got.String(), tt.want) || (got.String() == "") != (tt.want == "") {
			t.Errorf("%q: %q, want %q", tt.body, got.String(), tt.want)
		}
	}
}

func TestTeamsAddToTheRouting(t *testing.T) {
	files := map[string]string{
		"routing.yaml": "route:\n  receiver: all\n  group_wait: 1s\n  routes: [{matchers: [team=x], receiver: all}]\nreceivers: [{name: all}]\ninhibit_rules: [{source_matchers: [a=b], target_matchers: [a=c]}]\n",
		"b.routing.yaml": "receivers: [{name: b, console_configs: [{}]}]\nroutes:\n  - {matchers: [team=b], receiver: b}\n" +
			"  - {matchers: [team=late], deliver: business_hours, mute_time_intervals: [nights]}\n",
		"a.routing.yml": "calendars: {default: {time_zone: UTC, hours: ['mon-fri 09:00-18:00']}}\ntime_intervals: [{name: nights}]\n" +
			"routes: [{matchers: [team=a], receiver: b}]\ninhibit_rules: [{source_matchers: [a=b], target_matchers: [a=d]}]\n",
		"rules.yaml": oneRule,
	}
	p, err := config.Load(folder(files), env, readFile)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range p.Routing.Root.Routes {
		got = append(got, r.Matchers[0].Value+" "+r.Receiver+" "+r.Calendar+" "+r.GroupWait.String())
	}
	if want := []string{"x all  1s", "a b  1s", "b b  1s", "late all default 1s"}; !cmp.Equal(got, want) {
		t.Errorf("routes %q, want %q", got, want)
	}
	if len(p.Routing.Inhibitions) != 2 || len(p.Rules.Rules()) != 1 || p.Routing.Root.Routes[3].ID == "" {
		t.Errorf("%+v", p.Routing)
	}
	version := p.Version
	files["b.routing.yaml"] += "# changed\n"
	if p, err = config.Load(folder(files), env, readFile); err != nil || p.Version == version {
		t.Errorf("a change kept the version (%v)", err)
	}

	delete(files, "routing.yaml") // then they add to the built-in one
	files["b.routing.yaml"], files["a.routing.yml"] = "routes: [{matchers: [team=b], receiver: console}]\n", ""
	if p, err = config.Load(folder(files), env, readFile); err != nil || len(p.Routing.Root.Routes) != 4 {
		t.Errorf("%+v %v", p, err)
	}
}

func TestTeamsMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"conflicts": {map[string]string{
			"a.routing.yaml": "receivers:\n  - {name: all}\ntime_intervals:\n  - {name: x}\ncalendars:\n  day: {time_zone: UTC, hours: [mon 09:00-18:00]}\n",
			"b.routing.yaml": "time_intervals:\n  - {name: x}\ncalendars:\n  day: {time_zone: UTC, hours: [mon 09:00-18:00]}\n",
		}, "a.routing.yaml:2:12: receiver \"all\" is defined twice; it is at routing.yaml:2:20 already\n" +
			"b.routing.yaml:2:12: time interval \"x\" is defined twice; it is at a.routing.yaml:4:12 already\n" +
			"b.routing.yaml:4:3: calendar \"day\" is defined twice; it is at a.routing.yaml:6:3 already"},
		"not a team's": {map[string]string{
			"a.routing.yaml": "global: {}\nroute: {receiver: all}\nmute_time_intervals: []\n",
		}, "a.routing.yaml:1:9: global belongs into routing.yaml; a team's file has calendars, time_intervals, receivers, escalations, routes, inhibit_rules, depends_on\n" +
			"a.routing.yaml:2:8: route belongs into routing.yaml; a team's file has calendars, time_intervals, receivers, escalations, routes, inhibit_rules, depends_on\n" +
			"a.routing.yaml:3:1: unknown key \"mute_time_intervals\" in a team's routing file; did you mean \"time_intervals\"?"},
		"not YAML":          {map[string]string{"a.routing.yaml": "routes: ]\n"}, "a.routing.yaml:1:1: this is not YAML: did not find expected node content"},
		"unknown receiver":  {map[string]string{"a.routing.yaml": "routes:\n  - {receiver: al}\n"}, `a.routing.yaml:2:16: receiver "al" is not defined under receivers; did you mean "all"?`},
		"a matcher on a no": {map[string]string{"a.routing.yaml": "routes: {receiver: all}\n"}, `a.routing.yaml:1:9: routes is a mapping of keys and values; want a list, like [a, b]`},
	} {
		t.Run(name, func(t *testing.T) {
			files := maps.Clone(tt.files)
			files["routing.yaml"] = "route: {receiver: all}\nreceivers: [{name: all}]\n"
			_, err := config.Load(folder(files), env, readFile)
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestUnreachableRoutes(t *testing.T) {
	_, warnings, err := config.ParseRouting("routing.yaml", []byte("route:\n  receiver: a\n  routes:\n    - {receiver: a}\n    - {matchers: [a=b]}\nreceivers: [{name: a}]\n"), env, readFile)
	if err != nil || len(warnings) != 1 || warnings[0].String() != "routing.yaml:5:7: no alert comes to this route: the one at routing.yaml:4:7 takes every alert; put it last, or give it continue: true" {
		t.Errorf("%v %v", warnings, err)
	}
}

func FuzzICS(f *testing.F) {
	f.Add(companyICS)
	f.Add("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260101\nRRULE:FREQ=DAILY\nEND:VEVENT\nEND:VCALENDAR\n")
	f.Fuzz(func(t *testing.T, text string) {
		files := fstest.MapFS{"routing.yaml": {Data: []byte(withCalendar("    ics: x.ics\n"))}, "x.ics": {Data: []byte(text)}}
		p, err := config.Load(files, env, readFile)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "routing.yaml:") {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		for _, d := range p.Routing.Calendars["office"].Days() {
			if _, err := time.Parse(time.DateOnly, d.Date); err != nil {
				t.Error(err)
			}
		}
	})
}
