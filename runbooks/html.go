package runbooks

import (
	"bytes"
	"fmt"
	"html/template"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"alertd"
)

// markdown renders CommonMark with tables. Raw HTML is dropped and links that run code are emptied: a runbook is
// written by people who may edit a file, not by people who may run scripts in the dashboard. It keeps no state
// between calls.
var markdown = goldmark.New(
	goldmark.WithExtensions(extension.Table, extension.Linkify),
	goldmark.WithParserOptions(
		parser.WithAutoHeadingID(),
		parser.WithASTTransformers(util.Prioritized(siblings{}, 100)),
	),
)

// HTML renders the body of a runbook. The result is safe to put into a page whatever the file says. A link to
// another runbook's file, OTHER.md, becomes one to OTHER, which is where alertd serves it beside this one. Labels of the
// alert that it is about stand where the file says {{ $labels.NAME }}, see [Fill].
func HTML(rb Runbook, about alertd.Labels) (template.HTML, error) {
	var out bytes.Buffer
	body, show := hide(rb.Body, about)
	if err := markdown.Convert([]byte(body), &out); err != nil {
		return "", fmt.Errorf("%s: %w", rb.File, err)
	}
	return template.HTML(show(out.String())), nil //nolint:gosec // goldmark escapes; FuzzParse tries to prove it wrong
}

// siblings turns links between files, which work where the files are read, into links between pages.
type siblings struct{}

// Transform implements [parser.ASTTransformer].
func (siblings) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function returns no error
		link, ok := n.(*ast.Link)
		if ok && entering && !bytes.ContainsAny(link.Destination, "/:") {
			link.Destination = bytes.TrimSuffix(link.Destination, []byte(".md"))
		}
		return ast.WalkContinue, nil
	})
}
