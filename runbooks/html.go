package runbooks

import (
	"bytes"
	"fmt"
	"html/template"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

// markdown renders CommonMark with tables. Raw HTML is dropped and links that run code are emptied: a runbook is
// written by people who may edit a file, not by people who may run scripts in the dashboard. It keeps no state
// between calls.
var markdown = goldmark.New(
	goldmark.WithExtensions(extension.Table, extension.Linkify),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()),
)

// HTML renders the body of a runbook. The result is safe to put into a page whatever the file says.
func HTML(rb Runbook) (template.HTML, error) {
	var out bytes.Buffer
	if err := markdown.Convert([]byte(rb.Body), &out); err != nil {
		return "", fmt.Errorf("%s: %w", rb.File, err)
	}
	return template.HTML(out.String()), nil //nolint:gosec // goldmark escapes; FuzzParse tries to prove it wrong
}
