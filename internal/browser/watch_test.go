//go:build browser

package browser_test

import (
	"path/filepath"
	"testing"
	"time"

	"ftlab/ftlib/ckpt"
	"ftlab/internal/browser"
)

// A run in the background is watched and controlled in JupyterLab: its charts are drawn,
// the buttons work, the view is there again after the page was loaded again, and what is
// pressed reaches the run.
func TestWatchInJupyterLab(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	page := browser.Open(t)
	lab := browser.StartLab(t, root)
	lab.Open(page, filepath.Join("testdata", "watch.ipynb"))
	page.Size(1400, 1900)
	lab.RunAll(page)
	dir := filepath.Join(lab.Dir(), "notebooks", "runs", "watched")
	t.Cleanup(func() { ckpt.Send(dir, ckpt.Command{Do: ckpt.DoStop}) })

	const (
		text   = `document.querySelector(".jp-OutputArea-output")?.innerText`
		canvas = `document.querySelectorAll(".jp-OutputArea-output canvas").length >= 3`
	)
	page.WaitLong(canvas, 3*time.Minute)
	page.WaitLong(text+`.includes("grad_norm")`, time.Minute)
	lab.WaitAll(page, time.Minute) // the cell has ended; the view goes on
	page.ClickText(".widget-button", "Pause")
	page.WaitLong(text+`.includes("paused, by")`, time.Minute)
	page.WaitFor(`[...document.querySelectorAll(".widget-button")].some(b => b.innerText.includes("Go on"))`)
	if in, err := ckpt.Read(dir); err != nil || in.Status != ckpt.Paused {
		t.Errorf("the run is %s, %v", in.Status, err)
	}
	if pixels, colours := page.Ink(".jp-OutputArea-output"); pixels < 5_000 || colours < 20 {
		t.Errorf("the charts have %d pixels in %d colours", pixels, colours)
	}
	lookAt(t, page, "watch", `document.querySelector(".jp-Cell").scrollIntoView({block: "start"})`)
	lab.Save(page)
	page.Eval(`window.before = true; location.reload()`, nil)
	page.WaitLong(`window.before === undefined && `+canvas, time.Minute)
	page.ClickText(".widget-button", "Go on")
	page.WaitLong(text+`.includes("going on, by")`, time.Minute)
	page.ClickText(".widget-button", "Stop and save")
	page.WaitLong(text+`.includes("interrupted after step")`, time.Minute)
	if in, err := ckpt.Read(dir); err != nil || in.Status != ckpt.Interrupted {
		t.Errorf("the run is %s, %v", in.Status, err)
	}
}
