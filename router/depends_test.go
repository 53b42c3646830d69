package router_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
	"alertd/router"
)

func TestDependencies(t *testing.T) {
	d, circle := router.NewDependencies(map[string][]string{"shop": {"payments", "database"}, "payments": {"database", "bank"}, "bank": {"network"}})
	if circle != nil {
		t.Fatal(circle)
	}
	var got []string
	for _, service := range d.Services() {
		for _, dep := range d.Of(service) {
			got = append(got, dep.How)
		}
	}
	want := []string{
		"bank depends on network", "payments depends on bank", "payments depends on database", "payments depends on bank, which depends on network",
		"shop depends on payments, which depends on bank", "shop depends on database",
		"shop depends on payments, which depends on bank, which depends on network", "shop depends on payments",
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	ls := labels.FromStrings
	sources := map[alertd.Fingerprint]alertd.Labels{
		9: ls("service", "network", "severity", "page"), // as bad as critical
		5: ls("job", "database", "severity", "critical"),
		1: ls("service", "database", "severity", "warning"),
		2: ls("service", "shop", "severity", "critical"),
	}
	in := router.NewInhibitor(nil, d)
	for fp, source := range sources {
		in.Add(fp, source)
	}
	if in.Has(1) || in.Has(2) || !in.Has(5) {
		t.Error("a source is what is critical and needed")
	}
	for _, c := range []struct{ service, want string }{
		{"shop", "0000000000000005 shop depends on database true"},
		{"bank", "0000000000000009 bank depends on network true"},
		{"network", "0000000000000000  false"},
		{"other", "0000000000000000  false"},
	} {
		by, how, is := in.InhibitedBy(ls("service", c.service, "severity", "critical"))
		if got := fmt.Sprint(by, " ", how, " ", is); got != c.want {
			t.Errorf("%s: %s, want %s", c.service, got, c.want)
		}
	}
	var none *router.Dependencies
	if none.Of("shop") != nil || none.Services() != nil {
		t.Error("no dependency is a dependency")
	}
}

// What a service needs is what a walk over the direct dependencies reaches, and a circle is found where there is one.
func TestDependenciesAreWhatIsReached(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"})
		direct := rapid.MapOf(name, rapid.SliceOfNDistinct(name, 1, 3, rapid.ID)).Draw(t, "direct")
		reach := map[string]map[string]bool{}
		var walk func(from, at string)
		walk = func(from, at string) {
			for _, next := range direct[at] {
				if !reach[from][next] {
					reach[from][next] = true
					walk(from, next)
				}
			}
		}
		circular := false
		for service := range direct {
			reach[service] = map[string]bool{}
			walk(service, service)
			circular = circular || reach[service][service]
		}
		d, circle := router.NewDependencies(direct)
		if (d == nil) != circular || (circle != nil) != circular {
			t.Fatalf("circle %q, want one: %v", circle, circular)
		}
		if circular {
			for i, service := range circle[1:] {
				if !slices.Contains(direct[circle[i]], service) || circle[0] != circle[len(circle)-1] {
					t.Fatalf("%q is no circle", circle)
				}
			}
			return
		}
		for service := range direct {
			var on []string
			for _, dep := range d.Of(service) {
				on = append(on, dep.On)
			}
			if want := slices.Sorted(maps.Keys(reach[service])); !slices.Equal(on, want) {
				t.Fatalf("%s needs %q, want %q", service, on, want)
			}
		}
	})
}
