package router

import (
	"fmt"

	"github.com/prometheus/alertmanager/matcher/parse"
	amlabels "github.com/prometheus/alertmanager/pkg/labels"

	"alertd"
)

// ParseMatchers reads matchers as amtool and the routing file write them: `service="api",instance=~"web.*"`, braces or
// not. A text that is valid in the classic syntax alone, or means something else there, is read in that.
func ParseMatchers(text string) ([]alertd.Matcher, error) {
	present, err := parse.Matchers(text)
	classic, classicErr := amlabels.ParseMatchers(text)
	switch {
	case err != nil && classicErr != nil:
		return nil, fmt.Errorf("%.200q is not a matcher: %w; write it like service=\"api\", with = != =~ or !~", text, classicErr)
	case classicErr == nil && (err != nil || amlabels.Matchers(classic).String() != present.String()):
		present = classic
	}
	out := make([]alertd.Matcher, len(present))
	for i, m := range present {
		out[i] = alertd.Matcher{
			Name: m.Name, Value: m.Value,
			IsRegex: m.Type == amlabels.MatchRegexp || m.Type == amlabels.MatchNotRegexp,
			IsEqual: m.Type == amlabels.MatchEqual || m.Type == amlabels.MatchRegexp,
		}
	}
	return out, nil
}
