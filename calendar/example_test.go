package calendar_test

import (
	"fmt"
	"time"

	"alertd/calendar"
)

func Example() {
	office, err := calendar.New(calendar.Spec{
		Name: "office", TimeZone: "Europe/Berlin",
		Hours:    []string{"mon-fri 09:00-18:00"},
		Holidays: []string{"2026-04-03", "2026-04-06"}, // Good Friday, Easter Monday
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	thursday := time.Date(2026, 4, 2, 21, 0, 0, 0, office.Location())
	fmt.Println(office.IsOpen(thursday))
	fmt.Println(office.NextOpen(thursday).In(office.Location()))
	// Output:
	// false
	// 2026-04-07 09:00:00 +0200 CEST
}
