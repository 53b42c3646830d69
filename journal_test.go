package alertd_test

import (
	"reflect"
	"testing"

	"alertd"
)

// A kind of entry that Decisions does not count could never be written to the journal.
func TestEveryDecisionCounts(t *testing.T) {
	e := reflect.TypeFor[alertd.Entry]()
	for i := range e.NumField() {
		if e.Field(i).Type.Kind() != reflect.Pointer {
			continue
		}
		var entry alertd.Entry
		v := reflect.ValueOf(&entry).Elem().Field(i)
		v.Set(reflect.New(v.Type().Elem()))
		if n := entry.Decisions(); n != 1 {
			t.Errorf("an entry that holds %s counts %d decisions", e.Field(i).Name, n)
		}
	}
}
