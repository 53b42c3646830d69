package alertd

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Labels is a sorted, immutable label set, as in Prometheus.
type Labels = labels.Labels

// Label names that alertd itself reads.
const (
	LabelMetric   = model.MetricNameLabel // name of the metric
	LabelAlert    = "alertname"
	LabelSeverity = "severity"
	LabelService  = "service"
	// LabelEnvironment is where a service runs, such as "prod".
	LabelEnvironment = "environment"
	// LabelComponent is what several services depend on, by the name that all of them know.
	LabelComponent = "component"
)

// Annotation names that alertd itself reads.
const (
	AnnotationSummary     = "summary"
	AnnotationDescription = "description"
	AnnotationRunbook     = "runbook_url"
	AnnotationDashboard   = "dashboard_url"
	AnnotationNextStep    = "next_step" // what the person who is paged does first
	// AnnotationGroupWait is how long an alert asks a group to wait for others like it, if the group has not spoken yet
	// and its route does not wait longer: a duration such as "10s", at most a minute.
	AnnotationGroupWait = "group_wait"
	// AnnotationReason is written by alertd where the rule reads what services say about their health and says nothing
	// itself: the errors of the checks that are not healthy.
	AnnotationReason = "reason"
	// AnnotationAffected is written by alertd when it tells an alert that hides others of the same group: their services.
	AnnotationAffected = "affected"
)

// Fingerprint identifies a label set. It is the FNV-1a hash that Prometheus's common/model and so
// Alertmanager use, hence the fingerprints in URLs and payloads are the ones people know. Its text form is 16
// hexadecimal digits.
type Fingerprint uint64

// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/.
const (
	fnvOffset    = 14695981039346656037
	fnvPrime     = 1099511628211
	fnvSeparator = 255 // cannot occur in UTF-8, so that {a="bc"} and {ab="c"} differ
)

// FingerprintOf hashes ls. Labels with empty values do not exist and so do not count.
func FingerprintOf(ls Labels) Fingerprint {
	h := uint64(fnvOffset)
	add := func(s string) {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * fnvPrime
		}
		h = (h ^ fnvSeparator) * fnvPrime
	}
	ls.Range(func(l labels.Label) {
		if l.Value != "" {
			add(l.Name)
			add(l.Value)
		}
	})
	return Fingerprint(h)
}

// ParseFingerprint reads the text form.
func ParseFingerprint(s string) (Fingerprint, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, fmt.Errorf("fingerprint %q is not 16 hexadecimal digits", s)
	}
	return Fingerprint(n), nil
}

// String is the text form.
func (f Fingerprint) String() string { return fmt.Sprintf("%016x", uint64(f)) }

// MarshalText makes a fingerprint a JSON string, also as the key of a map.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (f *Fingerprint) UnmarshalText(b []byte) (err error) {
	*f, err = ParseFingerprint(string(b))
	return err
}

// CompareLabels is Alertmanager's order of sets of labels, in which it shows alerts and groups and tells alerts: smaller sets
// first; else the first name by which two differ decides, and who does not have it comes first.
func CompareLabels(a, b Labels) int {
	if d := cmp.Compare(a.Len(), b.Len()); d != 0 {
		return d
	}
	name := differ(a, b)
	if other := differ(b, a); name == "" || other != "" && other < name {
		name = other
	}
	return cmp.Compare(a.Get(name), b.Get(name))
}

// differ is the name of the first label of a that is not the same in b, or "".
func differ(a, b Labels) (name string) {
	a.Range(func(l labels.Label) {
		if name == "" && b.Get(l.Name) != l.Value {
			name = l.Name
		}
	})
	return name
}
