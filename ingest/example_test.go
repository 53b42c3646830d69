package ingest_test

import (
	"fmt"
	"time"

	"alertd"
	"alertd/ingest"
)

func ExampleDecoder() {
	var (
		events   alertd.Events
		received = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
		payload  = `{"name":"http_requests_total","labels":{"code":"500"},"value":17}
{"name":"http_requests_total","value":"many"}`
	)
	problems := ingest.NewDecoder().Decode("alertd.metrics.api", nil, received, []byte(payload), &events)
	for _, s := range events.Samples {
		fmt.Println(s.Labels, s.V)
	}
	for _, p := range problems {
		fmt.Println(p)
	}
	// Output:
	// {__name__="http_requests_total", code="500", service="api"} 17
	// line 2, column 39: "value" is "many"; it must be a number, "NaN", "+Inf" or "-Inf"
}
