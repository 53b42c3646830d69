package rules

import (
	"regexp"
	"strings"
	"text/template/parse"

	"github.com/prometheus/prometheus/model/labels"
)

// A template may ask questions of its own, with `query`. The window keeps only what somebody reads, so what a
// template reads has to be known before the first sample comes.

// anything stands in a query for what a template fills in.
const anything = "alertd_anything"

// verbs are those of printf that make sense within a query.
var verbs = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

// queriesOf lists the selectors of the queries in a template. Each text in a template that calls `query` is taken
// for one, if it is PromQL: the format of `printf "up{job='%s'}" $labels.job` as well, where any job is then kept.
func queriesOf(text string) (out []use) {
	if !strings.Contains(text, "query") {
		return nil
	}
	tree := parse.New("template")
	tree.Mode = parse.SkipFuncCheck
	variables := "{{$labels := 0}}{{$externalLabels := 0}}{{$externalURL := 0}}{{$value := 0}}{{$message := 0}}"
	if _, err := tree.Parse(variables+text, "", "", map[string]*parse.Tree{}); err != nil {
		return nil // of which the parser of rules complains
	}
	walk(tree.Root, func(s string) {
		expr, err := promqlParser.ParseExpr(verbs.ReplaceAllStringFunc(s, func(verb string) string {
			if strings.HasSuffix(verb, "q") {
				return `"` + anything + `"`
			}
			return anything
		}))
		if err != nil {
			return
		}
		list, _ := uses(expr)
		for _, u := range list {
			if u = u.widened(); u.name != "" {
				out = append(out, u)
			}
		}
	})
	return out
}

// widened is the selector without the matchers that a template fills in.
func (u use) widened() use {
	var kept []*labels.Matcher
	for _, m := range u.matchers {
		if !strings.Contains(m.Value, anything) {
			kept = append(kept, m)
		}
	}
	if len(kept) < len(u.matchers) {
		u.matchers, u.key = kept, matchersKey(kept)
		if strings.Contains(u.name, anything) {
			u.name = ""
		}
	}
	return u
}

// walk calls f with every text constant below a node.
func walk(n parse.Node, f func(string)) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, below := range n.Nodes {
				walk(below, f)
			}
		}
	case *parse.ActionNode:
		walk(n.Pipe, f)
	case *parse.IfNode:
		walkBranch(&n.BranchNode, f)
	case *parse.RangeNode:
		walkBranch(&n.BranchNode, f)
	case *parse.WithNode:
		walkBranch(&n.BranchNode, f)
	case *parse.TemplateNode:
		walk(n.Pipe, f)
	case *parse.PipeNode:
		if n != nil {
			for _, c := range n.Cmds {
				walk(c, f)
			}
		}
	case *parse.CommandNode:
		for _, arg := range n.Args {
			walk(arg, f)
		}
	case *parse.StringNode:
		f(n.Text)
	}
}

func walkBranch(n *parse.BranchNode, f func(string)) {
	walk(n.Pipe, f)
	walk(n.List, f)
	walk(n.ElseList, f)
}
