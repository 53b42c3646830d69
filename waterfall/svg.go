package waterfall

import (
	"fmt"
	"html"
	"html/template"
	"strings"

	"alertd/tracectx"
)

// class is what the style sheet of the page colours.
var class = map[kind]string{
	grid: "w-grid", stripe: "w-stripe", bar: "w-bar", critical: "w-path", wrong: "w-wrong", fatal: "w-fatal",
	strong: "w-strong", plain: "w-plain", soft: "w-soft", alarm: "w-alarm",
}

// SVG draws a waterfall for a page, which gives it colour by the classes w-bar, w-path, w-wrong, w-fatal, w-grid, w-stripe,
// w-strong, w-plain, w-soft and w-alarm. It has no style, script or link of its own, and whatever the spans are called,
// no markup that is theirs. A screen reader reads its title and what it comes to.
func SVG(w *tracectx.Waterfall) template.HTML {
	p := lay(w, column)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="waterfall" viewBox="0 0 %.0f %.0f" role="img" aria-labelledby="w-title w-desc">`, p.width, p.height)
	fmt.Fprintf(&b, `<title id="w-title">%s</title>`, html.EscapeString(Title(w)))
	fmt.Fprintf(&b, `<desc id="w-desc">%s</desc>`, html.EscapeString(Culprit(w)))
	for _, r := range p.grid {
		svgRect(&b, r)
	}
	for _, l := range p.axis {
		svgLabel(&b, l)
	}
	for _, row := range p.rows {
		fmt.Fprintf(&b, "<g><title>%s</title>", html.EscapeString(row.title))
		for _, r := range row.rects {
			svgRect(&b, r)
		}
		for _, l := range row.labels {
			svgLabel(&b, l)
		}
		b.WriteString("</g>")
	}
	for _, l := range p.notes {
		svgLabel(&b, l)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // every text went through EscapeString
}

func svgRect(b *strings.Builder, r rect) {
	round := ""
	if r.kind != grid && r.kind != stripe {
		round = ` rx="2"`
	}
	fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"%s/>`, class[r.kind], r.x, r.y, r.w, r.h, round)
}

// letter is how wide a letter is on the average; an SVG cannot measure.
const letter = 6.6

func svgLabel(b *strings.Builder, l label) {
	anchors := [...]string{left: "", middle: ` text-anchor="middle"`, right: ` text-anchor="end"`}
	text := clean(l.text, max(int(l.room/letter), 2))
	more := ""
	if room := l.room - letter*float64(len([]rune(text))+1); l.more != "" && room > 4*letter {
		more = fmt.Sprintf(` <tspan class="%s">%s</tspan>`, class[soft], html.EscapeString(clean(l.more, int(room/letter))))
	}
	fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f"%s>%s%s</text>`, class[l.kind], l.x, l.y, anchors[l.anchor], html.EscapeString(text), more)
}
