//go:build browser

package browser_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ftlab/internal/browser"
)

// The quickstart as a person sees it: every cell is run in JupyterLab without a
// network, and the charts are drawn. Run with
//
//	go test -tags browser -timeout 15m ./internal/browser
//
// after scripts/lab --setup. FTLAB_SHOTS names a folder for screenshots.
func TestQuickstartInJupyterLab(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	notebook := filepath.Join(root, "notebooks", "00_quickstart.ipynb")
	if _, err := os.Stat(filepath.Join(root, "models", "ft-tiny", "config.json")); err != nil {
		t.Skip("models/ft-tiny is missing")
	}
	page := browser.Open(t)
	lab := browser.StartLab(t, root)
	lab.Open(page, notebook)
	shot(t, page, "opened", "0")
	// JupyterLab goes to the last cell at once and draws only what is in the window: one
	// that holds the whole notebook shows every cell while it runs.
	const tall = 7000
	page.Size(1400, tall)
	lab.RunAll(page)

	// While the run goes on, its chart moves.
	const charts = `document.querySelectorAll(".ftlab-chart")`
	const moving = `document.querySelector(".jupyter-widgets canvas")`
	page.WaitLong(moving, 5*time.Minute)
	page.WaitLong(`(p => p && p.value >= 0.8 * p.max)(document.querySelector(".jp-OutputArea progress"))`, 5*time.Minute)
	page.Size(1400, 1000)
	shot(t, page, "live", `document.querySelector(".jupyter-widgets canvas")?.scrollIntoView({block: "end"})`)

	lab.WaitAll(page, 10*time.Minute)
	for _, e := range lab.Errors(page) {
		t.Errorf("a cell reports: %s", e)
	}
	page.Size(1400, tall)
	page.Eval(`document.querySelector(".jp-Cell").scrollIntoView({block: "start"})`, nil)
	page.WaitFor(charts + `.length >= 2`)
	page.WaitFor(`[...` + charts + `].every(e => e.querySelector("canvas"))`)
	if pixels, colours := page.Ink(".ftlab-chart"); pixels < 10_000 || colours < 30 {
		t.Errorf("the charts have %d pixels in %d colours", pixels, colours)
	}
	shot(t, page, "whole", "0")

	// No output is wider than its place: what is cut off there, nobody sees.
	var wide []string
	page.Eval(`[...document.querySelectorAll(".jp-RenderedHTMLCommon")].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent.slice(0, 80))`, &wide)
	for _, w := range wide {
		t.Errorf("wider than the window: %q", w)
	}

	if runs, _ := filepath.Glob(filepath.Join(lab.Dir(), "runs", "*", "run.yaml")); len(runs) == 0 {
		t.Error("no run was saved beside the notebook")
	}
	page.CheckOffline()
	for _, line := range page.Console() {
		if strings.Contains(line, "ftlab") || strings.HasPrefix(line, "exception") {
			t.Errorf("console: %s", line)
		}
	}
}

// shot saves what the window shows, where somebody wants to look at it. The scroll
// expression is evaluated more than once: JupyterLab moves the window when a cell
// changes its height.
func shot(t *testing.T, page *browser.Page, name, scroll string) {
	t.Helper()
	dir := os.Getenv("FTLAB_SHOTS")
	if dir == "" {
		return
	}
	for range 4 {
		time.Sleep(200 * time.Millisecond) // fades end
		page.Eval("("+scroll+"\n)", nil)
	}
	page.Save(filepath.Join(dir, "quickstart_"+name+".png"))
}
