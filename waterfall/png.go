package waterfall

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"alertd/tracectx"
)

// scale is how many dots of the PNG a pixel of the layout has, for screens that show so many.
const scale = 2

// palette has the colours of the PNG, which is shown on light and on dark ground and so brings its own.
var palette = []color.Color{
	color.White,
	color.NRGBA{0xd9, 0xde, 0xe5, 0xff},
	color.NRGBA{0xf5, 0xf6, 0xf8, 0xff},
	color.NRGBA{0xb9, 0xc6, 0xd6, 0xff},
	color.NRGBA{0x0a, 0x53, 0xa8, 0xff},
	color.NRGBA{0xf0, 0xb6, 0xb5, 0xff},
	color.NRGBA{0xa4, 0x0e, 0x26, 0xff},
	color.NRGBA{0x1a, 0x1f, 0x26, 0xff},
	color.NRGBA{0x54, 0x5d, 0x68, 0xff},
}

var colours = map[kind]color.Color{
	grid: palette[1], stripe: palette[2], bar: palette[3], critical: palette[4], wrong: palette[5], fatal: palette[6],
	strong: palette[7], plain: palette[7], soft: palette[8], alarm: palette[6],
}

// fonts are parsed once; faces are made for each picture, since they are not safe for concurrent use.
var fonts = sync.OnceValues(func() (f struct{ regular, bold *opentype.Font }, err error) {
	if f.regular, err = opentype.Parse(goregular.TTF); err != nil {
		return f, err
	}
	f.bold, err = opentype.Parse(gobold.TTF)
	return f, err
})

// PNG draws a waterfall for a message, 1920 dots wide.
func PNG(w *tracectx.Waterfall) ([]byte, error) {
	f, err := fonts()
	if err != nil {
		return nil, fmt.Errorf("waterfall: %w", err)
	}
	size := opentype.FaceOptions{Size: 12 * scale, DPI: 72, Hinting: font.HintingNone}
	d := drawer{}
	if d.regular, err = opentype.NewFace(f.regular, &size); err != nil {
		return nil, fmt.Errorf("waterfall: %w", err)
	}
	if d.bold, err = opentype.NewFace(f.bold, &size); err != nil {
		return nil, fmt.Errorf("waterfall: %w", err)
	}
	p := lay(w, alone)
	d.img = image.NewRGBA(image.Rect(0, 0, int(p.width*scale), int(p.height*scale)))
	draw.Draw(d.img, d.img.Bounds(), image.White, image.Point{}, draw.Src)
	for _, row := range p.rows { // stripes lie below the grid
		for _, r := range row.rects {
			if r.kind == stripe {
				d.rect(r)
			}
		}
	}
	for _, r := range p.grid {
		d.rect(r)
	}
	for _, l := range p.axis {
		d.label(l)
	}
	for _, row := range p.rows {
		for _, r := range row.rects {
			if r.kind != stripe {
				d.rect(r)
			}
		}
		for _, l := range row.labels {
			d.label(l)
		}
	}
	for _, l := range p.notes {
		d.label(l)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, d.img); err != nil {
		return nil, fmt.Errorf("waterfall: %w", err)
	}
	return out.Bytes(), nil
}

type drawer struct {
	img           *image.RGBA
	regular, bold font.Face
}

func (d *drawer) rect(r rect) {
	at := image.Rect(int(r.x*scale), int(r.y*scale), int((r.x+r.w)*scale), int((r.y+r.h)*scale))
	draw.Draw(d.img, at, image.NewUniform(colours[r.kind]), image.Point{}, draw.Src)
}

func (d *drawer) label(l label) {
	face := d.regular
	if l.kind == strong {
		face = d.bold
	}
	room := fixed.Int26_6(l.room * scale * 64)
	text := fit(face, l.text, room)
	wide := font.MeasureString(face, text)
	x := fixed.Int26_6(l.x * scale * 64)
	switch l.anchor {
	case middle:
		x -= wide / 2
	case right:
		x -= wide
	}
	d.write(face, colours[l.kind], x, l.y, text)
	space := font.MeasureString(face, " ")
	if rest := room - wide - space; l.more != "" && rest > 4*space {
		d.write(d.regular, colours[soft], x+wide+space, l.y, fit(d.regular, l.more, rest))
	}
}

func (d *drawer) write(face font.Face, c color.Color, x fixed.Int26_6, y float64, text string) {
	w := font.Drawer{Dst: d.img, Src: image.NewUniform(c), Face: face, Dot: fixed.Point26_6{X: x, Y: fixed.Int26_6(y * scale * 64)}}
	w.DrawString(text)
}

// fit cuts a text to a width.
func fit(face font.Face, text string, room fixed.Int26_6) string {
	if font.MeasureString(face, text) <= room {
		return text
	}
	runes := []rune(text)
	for len(runes) > 1 {
		runes = runes[:len(runes)-1]
		if font.MeasureString(face, string(runes)+"…") <= room {
			break
		}
	}
	return string(runes) + "…"
}
