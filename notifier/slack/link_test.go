package slack

import "testing"

// People's templates write links to silences half encoded.
func TestLinkTo(t *testing.T) {
	for in, want := range map[string]string{
		`http://am/#/silences/new?filter=%7Bcluster%3D"eu 1"%2C%20path%3D"a%26b%2Bc"%7D`: "http://am/#/silences/new?filter=%7Bcluster%3D%22eu%201%22%2C%20path%3D%22a%26b%2Bc%22%7D",
		`http://am/#/silences/new?filter={a="b|c"}`:                                      "http://am/#/silences/new?filter=%7Ba=%22b%7Cc%22%7D",
		"https://wiki/Über?x=1&y=%C3%A4":                                                 "https://wiki/%C3%9Cber?x=1&y=%C3%A4",
		"javascript:alert(1)":                                                            "",
		`21/http://x`:                                                                    "",
	} {
		if got := linkTo(in); got != want {
			t.Errorf("%s becomes\n%s, want\n%s", in, got, want)
		}
	}
}
