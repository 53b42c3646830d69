package runbooks

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"

	"alertd"
)

// placeholder is a label of the alert, written as in the templates of rules.
var placeholder = regexp.MustCompile(`\{\{-?\s*\$labels\.([a-zA-Z_][a-zA-Z0-9_]*)\s*-?\}\}`)

// code is what a plain text has between backquotes.
var code = regexp.MustCompile("`[^`]*`")

// Fill puts the labels of an alert where a plain text says {{ $labels.NAME }}. A label that the alert does not have, or
// that several alerts do not share, stays a word in capitals for the reader to replace: SERVICE. So does, between
// backquotes, a value that a shell would take for more than a word: people copy what stands there.
func Fill(text string, about alertd.Labels) string {
	text = code.ReplaceAllStringFunc(text, func(part string) string {
		return placeholder.ReplaceAllStringFunc(part, func(found string) string { return typed(found, valueOf(found, about)) })
	})
	return placeholder.ReplaceAllStringFunc(text, func(found string) string { return valueOf(found, about) })
}

// plain is what shells, query languages and programs' flags all take for a word.
var plain = regexp.MustCompile(`^[\p{L}\p{N}_/.:@][\p{L}\p{N}_/.:@+=-]*$`)

// typed is a placeholder's value where people copy it from into a terminal.
func typed(found, value string) string {
	if plain.MatchString(value) {
		return value
	}
	return capitals(found)
}

func capitals(found string) string { return strings.ToUpper(placeholder.FindStringSubmatch(found)[1]) }

func valueOf(found string, about alertd.Labels) string {
	const limit = 200
	v := strings.Join(strings.Fields(about.Get(placeholder.FindStringSubmatch(found)[1])), " ")
	if v == "" {
		return capitals(found)
	}
	if r := []rune(v); len(r) > limit {
		v = string(r[:limit]) + "…"
	}
	return v
}

// The values are put in after Markdown was rendered: so none of them can be markup, in a text, in a block of code or in an
// address. Until then a word of letters and digits, which Markdown leaves as it is, stands for each.
const stand = "alertdlabel%dx"

var (
	standing = regexp.MustCompile(`alertdlabel[0-9]+x`)
	inLink   = regexp.MustCompile(`(?:href|src)="[^"]*alertdlabel[0-9]+x[^"]*"`)
	inCode   = regexp.MustCompile(`(?s)<code[^>]*>.*?</code>`)
)

// hide replaces the placeholders of a Markdown text; show puts the values where they stood into the HTML.
func hide(text string, about alertd.Labels) (hidden string, show func(string) string) {
	values, inTerminal := map[string]string{}, map[string]string{}
	hidden = placeholder.ReplaceAllStringFunc(text, func(found string) string {
		word := fmt.Sprintf(stand, len(values))
		values[word] = valueOf(found, about)
		inTerminal[word] = typed(found, values[word])
		return word
	})
	return hidden, func(page string) string {
		page = inLink.ReplaceAllStringFunc(page, func(link string) string {
			return standing.ReplaceAllStringFunc(link, func(word string) string {
				return html.EscapeString(strings.ReplaceAll(url.QueryEscape(values[word]), "+", "%20"))
			})
		})
		page = inCode.ReplaceAllStringFunc(page, func(part string) string {
			return standing.ReplaceAllStringFunc(part, func(word string) string { return html.EscapeString(inTerminal[word]) })
		})
		return standing.ReplaceAllStringFunc(page, func(word string) string { return html.EscapeString(values[word]) })
	}
}
