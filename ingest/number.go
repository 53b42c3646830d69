package ingest

import (
	"math"
	"strconv"
	"time"
	"unsafe"
)

// number reads the JSON number at i of b. It returns false where there is none, or none that fits a float64.
func number(b []byte, i int) (v float64, end int, ok bool) {
	start := i
	negative := false
	if i < len(b) && b[i] == '-' {
		negative = true
		i++
	}
	var mantissa uint64
	digits, exponent := 0, 0 // of the mantissa, without leading zeros; of ten

	whole := i
	for i < len(b) && isDigit(b[i]) {
		mantissa = mantissa*10 + uint64(b[i]-'0') // wraps beyond 19 digits, then it is not used
		if mantissa != 0 {
			digits++
		}
		i++
	}
	if i == whole || b[whole] == '0' && i > whole+1 {
		return 0, 0, false
	}
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) && isDigit(b[i]) {
			mantissa = mantissa*10 + uint64(b[i]-'0')
			if mantissa != 0 || digits > 0 {
				digits++
			}
			i++
		}
		if i == point {
			return 0, 0, false
		}
		exponent = point - i
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		minus := false
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			minus = b[i] == '-'
			i++
		}
		first, e := i, 0
		for i < len(b) && isDigit(b[i]) {
			e = min(e*10+int(b[i]-'0'), 1<<20)
			i++
		}
		if i == first {
			return 0, 0, false
		}
		if minus {
			e = -e
		}
		exponent += e
	}

	// A mantissa that a float64 holds exactly, and a power of ten that it holds exactly: one operation
	// rounds once, hence correctly.
	if digits <= 19 && mantissa < 1<<53 && -22 <= exponent && exponent <= 22 {
		v = float64(mantissa)
		if exponent < 0 {
			v /= powers[-exponent]
		} else {
			v *= powers[exponent]
		}
		if negative {
			v = -v
		}
		return v, i, true
	}
	// ParseFloat does not keep its argument, and copies it into its errors.
	v, err := strconv.ParseFloat(unsafe.String(&b[start], i-start), 64)
	return v, i, err == nil
}

// special is what JSON has no number for.
func special(s string) (v float64, ok bool) {
	switch s {
	case "NaN":
		return math.NaN(), true
	case "+Inf":
		return math.Inf(1), true
	case "-Inf":
		return math.Inf(-1), true
	default:
		return 0, false
	}
}

func isDigit(c byte) bool { return c-'0' <= 9 }

var powers = [...]float64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// unixTime reads a number of seconds or milliseconds since 1970 as milliseconds. What is below 1e11 is
// seconds (until the year 5138), what is above milliseconds (from 1973 on).
func unixTime(v float64) (ms int64, ok bool) {
	switch {
	case math.Abs(v) < 1e11:
		return int64(math.Round(v * 1000)), true
	case math.Abs(v) < 1e14:
		return int64(math.Round(v)), true
	default: // micro- or nanoseconds, or nonsense
		return 0, false
	}
}

// goZero is what Go writes for a time that nobody set: 0001-01-01T00:00:00Z.
var goZero = time.Time{}.UnixMilli()

// parseTime reads RFC 3339 as milliseconds since 1970, cutting what is finer.
func parseTime(b []byte) (ms int64, ok bool) {
	if ms, ok = parseUTC(b); ok {
		return ms, true
	}
	t, err := time.Parse(time.RFC3339Nano, string(b))
	return t.UnixMilli(), err == nil
}

// parseUTC reads the usual case, "2026-01-15T10:30:00.123Z", at a tenth of the cost of time.Parse.
func parseUTC(b []byte) (ms int64, ok bool) {
	if len(b) < 20 || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' || b[len(b)-1] != 'Z' {
		return 0, false
	}
	y1, ok1 := two(b[0], b[1])
	y2, ok2 := two(b[2], b[3])
	month, ok3 := two(b[5], b[6])
	day, ok4 := two(b[8], b[9])
	hour, ok5 := two(b[11], b[12])
	minute, ok6 := two(b[14], b[15])
	second, ok7 := two(b[17], b[18])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	year := y1*100 + y2
	leap := year%4 == 0 && (year%100 != 0 || year%400 == 0)
	if day > monthDays[month] && !(leap && month == 2 && day == 29) {
		return 0, false
	}
	if fraction := b[19 : len(b)-1]; len(fraction) > 0 {
		if fraction[0] != '.' || len(fraction) < 2 || len(fraction) > 10 {
			return 0, false
		}
		scale := int64(100)
		for _, c := range fraction[1:] {
			if !isDigit(c) {
				return 0, false
			}
			ms += int64(c-'0') * scale
			scale /= 10
		}
	}

	// Days since 1970 by the proleptic Gregorian calendar, with the year starting in March so that the
	// leap day is its last.
	y, m := year, month-3
	if month < 3 {
		y, m = year-1, month+9
	}
	era := y / 400
	if y < 0 {
		era = -1
	}
	ofEra := y - era*400
	days := int64(era)*146097 + int64(ofEra)*365 + int64(ofEra/4) - int64(ofEra/100) + int64((153*m+2)/5+day-1) - 719468
	return ms + 1000*(int64(second)+60*(int64(minute)+60*(int64(hour)+24*days))), true
}

var monthDays = [...]int{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// two reads two digits.
func two(a, b byte) (int, bool) {
	return int(a-'0')*10 + int(b-'0'), isDigit(a) && isDigit(b)
}

func milli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
