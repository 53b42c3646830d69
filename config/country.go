package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/ar"
	"github.com/rickar/cal/v2/at"
	"github.com/rickar/cal/v2/au"
	"github.com/rickar/cal/v2/be"
	"github.com/rickar/cal/v2/bg"
	"github.com/rickar/cal/v2/br"
	"github.com/rickar/cal/v2/ca"
	"github.com/rickar/cal/v2/ch"
	"github.com/rickar/cal/v2/cz"
	"github.com/rickar/cal/v2/de"
	"github.com/rickar/cal/v2/dk"
	"github.com/rickar/cal/v2/ecb"
	"github.com/rickar/cal/v2/es"
	"github.com/rickar/cal/v2/fr"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/gr"
	"github.com/rickar/cal/v2/hr"
	"github.com/rickar/cal/v2/ie"
	"github.com/rickar/cal/v2/it"
	"github.com/rickar/cal/v2/jp"
	"github.com/rickar/cal/v2/lt"
	"github.com/rickar/cal/v2/lv"
	"github.com/rickar/cal/v2/nl"
	"github.com/rickar/cal/v2/no"
	"github.com/rickar/cal/v2/nz"
	"github.com/rickar/cal/v2/pl"
	"github.com/rickar/cal/v2/ro"
	"github.com/rickar/cal/v2/se"
	"github.com/rickar/cal/v2/si"
	"github.com/rickar/cal/v2/sk"
	"github.com/rickar/cal/v2/ua"
	"github.com/rickar/cal/v2/us"
	"github.com/rickar/cal/v2/za"

	"alertd/calendar"
)

// The years for which rules that repeat are worked out. They are fixed, and not counted from today, so that the same
// files always mean the same.
const (
	firstYear = 2000
	lastYear  = 2099
)

// Only the dates come from the library; business hours are package calendar's own. It makes each date as a midnight
// in the machine's zone, which would be the day before where clocks go forward at midnight: a date has no zone.
func init() { cal.DefaultLoc = time.UTC }

// holidays are a country's, and those of its regions where they differ. Without a list for the whole, a region is a must.
type holidays struct {
	all     []*cal.Holiday
	regions map[string][]*cal.Holiday
}

// countries are those that the library knows well enough, by ISO 3166 codes; ecb are the days of the European
// Central Bank. Switzerland's list of all cantons' holidays is nobody's, so it is left out.
var countries = map[string]holidays{
	"ar": {all: ar.Holidays}, "at": {all: at.Holidays}, "be": {all: be.Holidays}, "bg": {all: bg.Holidays},
	"br": {all: br.Holidays}, "ca": {all: ca.Holidays}, "cz": {all: cz.Holidays}, "dk": {all: dk.Holidays},
	"ecb": {all: ecb.Holidays}, "es": {all: es.Holidays}, "fr": {all: fr.Holidays}, "gb": {all: gb.Holidays},
	"gr": {all: gr.Holidays}, "hr": {all: hr.Holidays}, "ie": {all: ie.Holidays}, "it": {all: it.Holidays},
	"jp": {all: jp.Holidays}, "lt": {all: lt.Holidays}, "lv": {all: lv.Holidays}, "nl": {all: nl.Holidays},
	"no": {all: no.Holidays}, "nz": {all: nz.Holidays}, "pl": {all: pl.Holidays}, "ro": {all: ro.Holidays},
	"se": {all: se.Holidays}, "si": {all: si.Holidays}, "sk": {all: sk.Holidays}, "ua": {all: ua.Holidays},
	"us": {all: us.Holidays}, "za": {all: za.Holidays},
	"de": {all: de.Holidays, regions: map[string][]*cal.Holiday{
		"bw": de.HolidaysBW, "by": de.HolidaysBY, "be": de.HolidaysBE, "bb": de.HolidaysBB, "hb": de.HolidaysHB,
		"hh": de.HolidaysHH, "he": de.HolidaysHE, "mv": de.HolidaysMV, "ni": de.HolidaysNI, "nw": de.HolidaysNW,
		"rp": de.HolidaysRP, "sl": de.HolidaysSL, "sn": de.HolidaysSN, "st": de.HolidaysST, "sh": de.HolidaysSH,
		"th": de.HolidaysTH,
	}},
	"au": {regions: map[string][]*cal.Holiday{
		"act": au.HolidaysACT, "nsw": au.HolidaysNSW, "nt": au.HolidaysNT, "qld": au.HolidaysQLD, "sa": au.HolidaysSA,
		"tas": au.HolidaysTAS, "vic": au.HolidaysVIC, "wa": au.HolidaysWA,
	}},
	"ch": {regions: map[string][]*cal.Holiday{
		"zh": ch.HolidaysZH, "be": ch.HolidaysBE, "lu": ch.HolidaysLU, "ur": ch.HolidaysUR, "sz": ch.HolidaysSZ,
		"ow": ch.HolidaysOW, "nw": ch.HolidaysNW, "gl": ch.HolidaysGL, "zg": ch.HolidaysZG, "fr": ch.HolidaysFR,
		"so": ch.HolidaysSO, "bs": ch.HolidaysBS, "bl": ch.HolidaysBL, "sh": ch.HolidaysSH, "ar": ch.HolidaysAR,
		"ai": ch.HolidaysAI, "sg": ch.HolidaysSG, "gr": ch.HolidaysGR, "ag": ch.HolidaysAG, "tg": ch.HolidaysTG,
		"vd": ch.HolidaysVD, "ti": ch.HolidaysTI, "vs": ch.HolidaysVS, "ne": ch.HolidaysNE, "ge": ch.HolidaysGE,
		"ju": ch.HolidaysJU,
	}},
}

// countryDays are the public holidays of a country, as in "de", or of a region of it, as in "de-by": the days
// themselves and those on which they are observed instead.
func countryDays(text string) ([]calendar.Day, error) {
	code, region, _ := strings.Cut(strings.ToLower(strings.TrimSpace(text)), "-")
	country, ok := countries[code]
	if !ok {
		codes := slices.Sorted(maps.Keys(countries))
		return nil, fmt.Errorf("no holidays are known for the country %q; known are %s; for others use ics: FILE", code, strings.Join(codes, ", "))
	}
	list := country.all
	if region != "" || list == nil {
		if list, ok = country.regions[region]; !ok {
			return nil, noRegion(code, region, country)
		}
	}
	source := "country " + code
	if region != "" {
		source += "-" + region
	}
	var days []calendar.Day
	for year := firstYear; year <= lastYear; year++ {
		for _, h := range list {
			actual, observed := h.Calc(year)
			if actual.IsZero() {
				continue
			}
			days = append(days, calendar.Day{Date: actual.Format(time.DateOnly), Name: h.Name, Source: source})
			if !observed.Equal(actual) {
				days = append(days, calendar.Day{Date: observed.Format(time.DateOnly), Name: h.Name + " (observed)", Source: source})
			}
		}
	}
	return days, nil
}

func noRegion(code, region string, country holidays) error {
	known := strings.Join(slices.Sorted(maps.Keys(country.regions)), ", ")
	switch {
	case len(country.regions) == 0:
		return fmt.Errorf("the country %q has no regions here; write country: %s", code, code)
	case region == "":
		return fmt.Errorf("holidays in %q differ by region; write country: %s-REGION with one of %s", code, code, known)
	default:
		return fmt.Errorf("%q has no region %q; it has %s", code, region, known)
	}
}
