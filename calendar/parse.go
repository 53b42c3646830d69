package calendar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// parseHours reads "DAYS HH:MM-HH:MM".
func parseHours(text string) ([]time.Weekday, window, error) {
	days, hours, ok := strings.Cut(strings.TrimSpace(text), " ")
	if !ok {
		return nil, window{}, errors.New(`want days and hours, like "mon-fri 09:00-18:00"`)
	}
	w, err := parseWindow(strings.TrimSpace(hours))
	if err != nil {
		return nil, window{}, err
	}
	weekdays, err := parseDays(days)
	return weekdays, w, err
}

// parseDays reads days and ranges of days, separated by commas. A range may wrap around the week's end.
func parseDays(text string) ([]time.Weekday, error) {
	var days []time.Weekday
	for item := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(item, "-")
		first, err := parseDay(from)
		if err != nil {
			return nil, err
		}
		last := first
		if isRange {
			if last, err = parseDay(to); err != nil {
				return nil, err
			}
		}
		for day := first; ; day = (day + 1) % 7 {
			if slices.Contains(days, day) {
				return nil, fmt.Errorf("names %s twice", day)
			}
			days = append(days, day)
			if day == last {
				break
			}
		}
	}
	return days, nil
}

// parseDay reads "mon" or "monday", in any case.
func parseDay(text string) (time.Weekday, error) {
	for day := range time.Weekday(7) {
		if name := day.String(); strings.EqualFold(text, name) || strings.EqualFold(text, name[:3]) {
			return day, nil
		}
	}
	return 0, fmt.Errorf("unknown day %q; days are mon, tue, wed, thu, fri, sat, sun", text)
}

// parseWindow reads "HH:MM-HH:MM". What ends at or before its beginning ends on the next day.
func parseWindow(text string) (window, error) {
	from, to, ok := strings.Cut(text, "-")
	if !ok {
		return window{}, fmt.Errorf(`%q is not a window; write it like "09:00-18:00"`, text)
	}
	opens, err := parseClock(from)
	if err != nil {
		return window{}, err
	}
	closes, err := parseClock(to)
	switch {
	case err != nil:
		return window{}, err
	case opens == minutesADay:
		return window{}, errors.New("opens at 24:00; write 00:00 on the next day")
	case opens == closes:
		return window{}, errors.New("opens and closes at the same time; for a whole day write 00:00-24:00")
	case closes < opens:
		closes += minutesADay
	}
	return window{opens, closes}, nil
}

// parseClock reads "HH:MM" from 00:00 to 24:00 as minutes.
func parseClock(text string) (int, error) {
	bad := fmt.Errorf(`%q is not a time of day; write it like "09:00", at most "24:00"`, text)
	if len(text) != len("15:04") || text[2] != ':' {
		return 0, bad
	}
	for _, i := range []int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, bad
		}
	}
	digits := func(i int) int { return int(text[i]-'0')*10 + int(text[i+1]-'0') }
	hour, minute := digits(0), digits(3)
	if minute > 59 || hour*60+minute > minutesADay {
		return 0, bad
	}
	return hour*60 + minute, nil
}
