package tracectx

import (
	"slices"
	"strings"
)

// Carrier lets a propagator of OpenTelemetry read and write the header of a message. It has the methods of
// propagation.TextMapCarrier. Names are read without regard to case, as [FromHeader] does, and written in lower case, as
// the specification of W3C trace context spells them.
type Carrier map[string][]string

// Get is the value of a field, "" if there is none. Like [FromHeader] it wants exactly one value.
func (c Carrier) Get(name string) string {
	if v := c[strings.ToLower(name)]; len(v) == 1 {
		return v[0]
	}
	for _, key := range c.Keys() {
		if v := c[key]; strings.EqualFold(key, name) && len(v) == 1 {
			return v[0]
		}
	}
	return ""
}

// Set replaces a field, however it is spelt.
func (c Carrier) Set(name, value string) {
	for key := range c {
		if strings.EqualFold(key, name) {
			delete(c, key)
		}
	}
	c[strings.ToLower(name)] = []string{value}
}

// Keys are the names of the fields, sorted: the order of a map must not decide.
func (c Carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
