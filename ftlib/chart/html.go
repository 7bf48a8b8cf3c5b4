package chart

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"html"
	"strings"
	"sync"
)

//go:embed echarts/echarts.common.min.js.gz
var echartsGzip []byte

//go:embed runtime.js
var runtime string

// packed is ECharts as it stands in a page.
var packed = sync.OnceValue(func() string { return base64.StdEncoding.EncodeToString(echartsGzip) })

// Heights of an interactive chart in pixels; the width is that of its place, up to maxWidth.
const (
	lineHeight = 400
	barHeight  = 300
	maxWidth   = 920
)

func (f Figure) height() int {
	if len(f.Bars) > 0 {
		return barHeight
	}
	return lineHeight
}

// spec is what runtime.js is given besides the option.
type spec struct {
	Option json.RawMessage   `json:"option"`
	Height int               `json:"height"`
	X      string            `json:"x"`
	Units  []Unit            `json:"units"`           // of the y axes
	Help   map[string]string `json:"help"`            // series name -> sentence
	Named  bool              `json:"named,omitempty"` // points have names of their own
}

// HTML is the figure as a snippet for a page or a notebook output. It needs no
// network: the chart library is inside (about 300 kB). Without scripts it shows the
// static picture. The content decides the element's id, so that the same figure
// gives the same bytes.
func (f Figure) HTML() (string, error) { return f.snippet("", packed()) }

// HTMLWithID is [Figure.HTML] with an id for the element, by which a script from
// [Figure.Update] finds it again.
func (f Figure) HTMLWithID(id string) (string, error) { return f.snippet(id, packed()) }

func (f Figure) snippet(id, library string) (string, error) {
	option, err := f.Option()
	if err != nil {
		return "", err
	}
	if id == "" {
		h := fnv.New64a()
		h.Write(option)
		id = fmt.Sprintf("ftlab-chart-%x", h.Sum64())
	}
	picture, err := f.SVG()
	if err != nil {
		return "", err
	}
	s := spec{Option: option, Height: f.height(), X: f.X.Name, Help: map[string]string{}, Named: f.named()}
	for _, a := range f.axes() {
		s.Units = append(s.Units, a.Unit)
	}
	for _, series := range f.Series {
		if series.Help != "" {
			s.Help[series.Name] = series.Help
		}
	}
	data, err := json.Marshal(s) // escapes <, > and &: safe inside a script
	if err != nil {
		return "", fmt.Errorf("chart: %q: %w", f.Title, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<div id="%s" class="ftlab-chart" role="img" aria-label="%s" style="width:100%%;max-width:%dpx">`,
		html.EscapeString(id), html.EscapeString(f.Describe()), maxWidth)
	fmt.Fprintf(&b, `<img alt="%s" style="max-width:100%%" src="data:image/svg+xml;base64,%s"></div>`,
		html.EscapeString(f.Describe()), base64.StdEncoding.EncodeToString(picture))
	fmt.Fprintf(&b, "\n<script>%s\nftlabChart.draw(%q,%s,%q);</script>\n", runtime, id, data, library)
	return b.String(), nil
}

// Update is a script that gives the chart with this id the data of f. It does
// nothing where the chart is not on the page.
func (f Figure) Update(id string) (string, error) {
	option, err := f.Option()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("<script>window.ftlabChart&&ftlabChart.update(%q,%s)</script>", id, option), nil
}

// Page is the figure as a page of its own, which follows the light or dark setting
// of the system.
func (f Figure) Page() (string, error) { return Page(f.Title, f) }

// Page puts several figures on one page.
func Page(title string, figures ...Figure) (string, error) { return PageWith(title, "", figures...) }

// PageWith is [Page] with HTML above the figures, a table for instance.
func PageWith(title, above string, figures ...Figure) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>%s</title>
<style>:root{color-scheme:light dark}body{font-family:system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;
color:light-dark(#22272e,#e6e8eb);background:light-dark(#ffffff,#1f2329)}.ftlab-chart{margin-bottom:2em}</style>
</head><body>
`, html.EscapeString(title))
	b.WriteString(above)
	for i, f := range figures {
		library := ""
		if i == 0 {
			library = packed() // the others find it loaded
		}
		s, err := f.snippet("", library)
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	b.WriteString("</body></html>\n")
	return b.String(), nil
}
