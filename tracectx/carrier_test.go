package tracectx_test

import (
	"slices"
	"testing"

	"go.opentelemetry.io/otel/propagation"

	"alertd/tracectx"
)

var _ propagation.TextMapCarrier = tracectx.Carrier{}

func TestCarrier(t *testing.T) {
	c := tracectx.Carrier{"TraceParent": {"a"}, "Two": {"1", "2"}}
	if got := c.Get("traceparent"); got != "a" {
		t.Errorf("read %q", got)
	}
	if got := c.Get("two"); got != "" {
		t.Errorf("two values are %q", got)
	}
	c.Set("Traceparent", "b")
	if got := c.Keys(); !slices.Equal(got, []string{"Two", "traceparent"}) || c.Get("TRACEPARENT") != "b" {
		t.Errorf("%v", c)
	}
}
