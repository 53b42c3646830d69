package tracectx_test

import (
	"fmt"
	"time"

	"alertd/tracectx"
)

func Example() {
	template, err := tracectx.Site{UI: "jaeger", URL: "https://jaeger.example.com"}.Template()
	if err != nil {
		fmt.Println(err)
		return
	}
	link, err := tracectx.ParseLink(template)
	if err != nil {
		fmt.Println(err)
		return
	}
	ref := tracectx.FromHeader(map[string][]string{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}})
	fmt.Println(link.URL(ref, "checkout", time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)))
	// Output:
	// https://jaeger.example.com/trace/4bf92f3577b34da6a3ce929d0e0e4736
}
