//go:build browser

package browser_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"ftlab/internal/browser"
)

// Widgets as a person uses them in JupyterLab, without a network: a slider is moved
// with the keyboard and its value arrives in a later cell, a click arrives in a cell
// that runs, a chart is drawn and redrawn, and all of it is there again after the page
// was loaded again.
func TestWidgetsInJupyterLab(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	page := browser.Open(t)
	lab := browser.StartLab(t, root)
	lab.Open(page, filepath.Join("testdata", "widgets.ipynb"))
	page.Size(1400, 1500)
	lab.RunAll(page)

	const (
		handle  = `document.querySelector(".widget-slider .noUi-handle")`
		readout = `document.querySelector(".widget-slider .widget-readout")?.textContent`
		canvas  = `document.querySelector(".echarts-widget canvas, .jp-OutputArea-output canvas")`
		outputs = `[...document.querySelectorAll(".jp-OutputArea-output")].map(e => e.innerText).join("\n")`
	)
	page.WaitLong(handle, 3*time.Minute)
	page.WaitLong(canvas, 2*time.Minute)
	page.WaitFor(readout + ` === "1.00e-3"`)
	page.WaitLong(outputs+`.includes("waiting for a click")`, time.Minute)
	page.WaitFor(outputs + `.includes("learning rate 0.001, found true, method DPO")`)

	// The keyboard moves the slider by three steps of a tenth of a factor of ten.
	page.Eval(handle+`.focus()`, nil)
	page.Keys(kb.ArrowRight + kb.ArrowRight + kb.ArrowRight)
	page.WaitFor(readout + ` === "2.00e-3"`)
	page.ClickText(".widget-button", "Stop and save")
	page.WaitFor(outputs + `.includes("stopped by the button")`)
	lab.WaitAll(page, time.Minute)
	page.Click(`.jp-CodeCell:nth-last-child(2 of .jp-Cell) .jp-InputPrompt`)
	page.Keys("\r", chromedp.KeyModifiers(input.ModifierShift))
	page.WaitFor(outputs + `.includes("learning rate 0.002, found true, method DPO")`)
	if pixels, colours := page.Ink(".jp-OutputArea-output"); pixels < 5_000 || colours < 20 {
		t.Errorf("the chart has %d pixels in %d colours", pixels, colours)
	}
	page.Size(1400, 1300)
	lookAt(t, page, "widgets", `document.querySelectorAll(".jp-Cell")[2].scrollIntoView({block: "start"})`)

	// Everything is there again, with the values of now, when the page is loaded again.
	lab.Save(page)
	shown(t, filepath.Join(lab.Dir(), "notebooks", "widgets.ipynb"))
	page.Eval(`window.before = true; location.reload()`, nil)
	page.WaitLong(`window.before === undefined && `+handle, time.Minute)
	page.WaitLong(canvas, time.Minute)
	page.WaitFor(readout + ` === "2.00e-3"`)
	page.Eval(handle+`.focus()`, nil)
	page.Keys(kb.ArrowRight)
	page.WaitFor(readout + ` === "2.51e-3"`)
	page.Click(`.jp-CodeCell:nth-last-child(2 of .jp-Cell) .jp-InputPrompt`)
	page.Keys("\r", chromedp.KeyModifiers(input.ModifierShift))
	page.WaitFor(outputs + `.includes("learning rate 0.00251, found true, method DPO")`)
	if pixels, colours := page.Ink(".jp-OutputArea-output"); pixels < 5_000 || colours < 20 {
		t.Errorf("after the reload the chart has %d pixels in %d colours", pixels, colours)
	}
	lookAt(t, page, "widgets_reloaded", `document.querySelectorAll(".jp-Cell")[2].scrollIntoView({block: "start"})`)

	for _, e := range lab.Errors(page) {
		t.Errorf("a cell reports: %s", e)
	}
	page.CheckOffline()
	for _, line := range page.Console() {
		if strings.Contains(line, "widget") && strings.HasPrefix(line, "error") || strings.HasPrefix(line, "exception") {
			t.Errorf("console: %s", line)
		}
	}
}

// shown checks that the saved notebook names the chart's widget and holds its picture,
// which is seen where no script runs.
func shown(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var saved struct {
		Cells []struct {
			ID      string
			Outputs []struct{ Data map[string]json.RawMessage }
		}
	}
	if err := json.Unmarshal(data, &saved); err != nil {
		t.Fatal(err)
	}
	for _, c := range saved.Cells {
		if c.ID != "chart" {
			continue
		}
		if len(c.Outputs) != 1 {
			t.Fatalf("the chart has %d outputs", len(c.Outputs))
		}
		var view struct {
			ID    string `json:"model_id"`
			Major int    `json:"version_major"`
		}
		got := c.Outputs[0].Data
		if err := json.Unmarshal(got["application/vnd.jupyter.widget-view+json"], &view); err != nil || view.ID == "" || view.Major != 2 {
			t.Errorf("the saved widget: %s, %v", got["application/vnd.jupyter.widget-view+json"], err)
		}
		if !strings.Contains(string(got["image/svg+xml"]), "<svg ") || got["text/plain"] == nil {
			t.Error("no picture or no text beside the chart")
		}
		return
	}
	t.Error("the saved notebook has no chart")
}

// lookAt saves what the window shows, where somebody wants to look at it. The scroll
// expression is evaluated more than once: JupyterLab moves the window itself.
func lookAt(t *testing.T, page *browser.Page, name, scroll string) {
	t.Helper()
	dir := os.Getenv("FTLAB_SHOTS")
	if dir == "" {
		return
	}
	for range 4 {
		time.Sleep(200 * time.Millisecond) // fades end
		page.Eval("("+scroll+")", nil)
	}
	page.Save(filepath.Join(dir, name+".png"))
}
