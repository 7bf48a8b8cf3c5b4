package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/internal/browser"
)

func TestChartsInABrowser(t *testing.T) {
	page := browser.Open(t)
	all := figures()
	html, err := Page("charts", all["loss"], all["compare"], all["bars"])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "charts.html")
	if err := os.WriteFile(path, []byte(html), 0o644); err != nil {
		t.Fatal(err)
	}
	page.Size(1000, 1300)
	page.GoFile(path)
	page.WaitFor(`document.querySelectorAll(".ftlab-chart canvas").length === 3`)
	if pixels, colours := page.Ink(".ftlab-chart"); pixels < 20_000 || colours < 40 {
		t.Errorf("%d pixels in %d colours were drawn", pixels, colours)
	}

	// The text follows the ground: dark on light, light on dark.
	colour := `Object.values(ftlabChart.charts)[0].chart.getOption().textStyle.color`
	var light, dark string
	page.Eval(colour, &light)
	page.Dark(true)
	page.WaitFor(colour + ` !== "` + light + `"`)
	page.Eval(colour, &dark)
	if !strings.HasPrefix(light, "rgba(34,39,46") || !strings.HasPrefix(dark, "rgba(230,232,235") {
		t.Errorf("text is %s on light and %s on dark", light, dark)
	}

	// The pointer on a step shows the values there, and what a loss means.
	page.Move(400, 180)
	page.WaitFor(`document.body.innerText.includes("right token")`)

	// New data arrives without the chart being made anew.
	more := Loss(Curve{Events: course(48, 2.5, 0.4)})
	id := `document.querySelector(".ftlab-chart").id`
	var name string
	page.Eval(id, &name)
	script, err := more.Update(name)
	if err != nil {
		t.Fatal(err)
	}
	script = strings.TrimSuffix(strings.TrimPrefix(script, "<script>"), "</script>")
	page.Eval(`window.before = ftlabChart.charts[`+id+`].chart; `+script+`; true`, nil)
	page.WaitFor(`ftlabChart.charts[` + id + `].chart === window.before && window.before.getOption().series[0].data.length === 48`)
	page.CheckOffline()
	for _, line := range page.Console() {
		t.Errorf("console: %s", line)
	}
}

// Where scripts do not run (a notebook that is not trusted), the static picture is seen.
func TestChartWithoutScripts(t *testing.T) {
	page := browser.Open(t)
	html, err := figures()["loss"].HTML()
	if err != nil {
		t.Fatal(err)
	}
	html = html[:strings.Index(html, "<script>")]
	path := filepath.Join(t.TempDir(), "static.html")
	if err := os.WriteFile(path, []byte(html), 0o644); err != nil {
		t.Fatal(err)
	}
	page.GoFile(path)
	page.WaitFor(`document.querySelector("img").complete`)
	var width int
	page.Eval(`document.querySelector("img").naturalWidth`, &width)
	if width != staticWidth {
		t.Errorf("the picture is %d pixels wide", width)
	}
}
