package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
)

// What is written by hand is what encoding/json writes: of every decision, with any of its fields set, those included that
// somebody adds later.
func TestEncodeIsJSON(t *testing.T) {
	t.Parallel()
	kinds := reflect.TypeFor[alertd.Entry]()
	rapid.Check(t, func(t *rapid.T) {
		var events time.Time
		if rapid.Bool().Draw(t, "events") {
			events = instant(t)
		}
		c := alertd.Commit{Epoch: rapid.Uint64().Draw(t, "epoch"), Node: text.Draw(t, "node"), Time: instant(t), Checkpoint: 7, Events: events, Prev: text.Draw(t, "prev")}
		for range rapid.IntRange(0, 4).Draw(t, "entries") {
			e := alertd.Entry{Time: instant(t)}
			kind := rapid.IntRange(1, kinds.NumField()-1).Draw(t, "kind")
			v := reflect.ValueOf(&e).Elem().Field(kind)
			v.Set(reflect.New(v.Type().Elem()))
			anything(t, v.Elem(), 0)
			c.Entries = append(c.Entries, e)
		}
		want, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := marshal(&c)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v\n%s\nwant\n%s", err, got, want)
		}
	})
}

// A year that RFC 3339 cannot write is no commit.
func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	c := commitN(1)
	c.Entries[0].Transition.Alert.At = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := encode(c); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

// text is mostly what fields hold, and sometimes what JSON has to escape.
var text = rapid.OneOf(rapid.StringMatching(`[a-z/=?&<> -]{0,12}`), rapid.String(), rapid.SampledFrom([]string{"", "a\xffb", "\u2028", "\x7f", "\"\\\n", "Größe"}))

func instant(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "zero") {
		return time.Time{}
	}
	return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "seconds"), rapid.SampledFrom([]int64{0, 1, 500_000_000}).Draw(t, "nanoseconds")).UTC()
}

// anything gives v, and everything in it, any value.
func anything(t *rapid.T, v reflect.Value, depth int) {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = instant(t)
		return
	case *alertd.Labels:
		*x = labels.FromMap(rapid.MapOfN(text, text, 0, 3).Draw(t, "labels"))
		return
	case *alertd.Value:
		*x = alertd.Value(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, 0.1, 1e21, math.NaN(), math.Inf(1)}).Draw(t, "value"))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text.Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.SampledFrom([]int64{0, 1, -1, 15e9, math.MaxInt64}).Draw(t, "int"))
	case reflect.Uint64:
		v.SetUint(rapid.SampledFrom([]uint64{0, 1, math.MaxUint64}).Draw(t, "uint"))
	case reflect.Float64:
		v.SetFloat(rapid.SampledFrom([]float64{0, 1.5}).Draw(t, "float"))
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() {
				anything(t, field, depth+1)
			}
		}
	case reflect.Slice:
		if depth < 5 && rapid.Bool().Draw(t, "some") {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			anything(t, v.Index(0), depth+1)
		}
	case reflect.Pointer:
		if depth < 5 && rapid.IntRange(0, 3).Draw(t, "set") == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			anything(t, v.Elem(), depth+1)
		}
	}
}
