package config_test

import (
	"strings"
	"testing"

	"alertd/config"
)

func TestDependsOn(t *testing.T) {
	const head = "route: {receiver: ops}\nreceivers: [{name: ops, console_configs: [{}]}]\n"
	parse := func(text string) (*config.Routing, error) {
		r, _, err := config.ParseRouting("routing.yaml", []byte(head+text), func(string) (string, bool) { return "", false }, nil)
		return r, err
	}
	r, err := parse("depends_on:\n  shop: [payments]\n  payments: [database]\n")
	if err != nil {
		t.Fatal(err)
	}
	if all := r.Depends.Of("shop"); len(all) != 2 || all[0].How != "shop depends on payments, which depends on database" {
		t.Errorf("%+v", all)
	}
	for text, want := range map[string]string{
		"depends_on:\n  shop: [payments]\n  payments: [shop]\n": "routing.yaml:5:3: payments depends on itself: payments → shop → payments; take one of them out",
		"depends_on:\n  shop: [shop]\n":                         "routing.yaml:4:3: shop depends on itself: shop → shop",
		"depends_on:\n  shop: database\n":                       "want a list",
		"depends_on: [shop]\n":                                  "routing.yaml:3:13: ",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s%v\nwant %s", text, err, want)
		}
	}
	if r, err := parse(""); err != nil || r.Depends != nil {
		t.Error(r, err)
	}
}
