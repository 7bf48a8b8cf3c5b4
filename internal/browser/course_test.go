//go:build browser

package browser_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"ftlab/internal/browser"
)

// The course as somebody reads it who runs nothing: JupyterLab shows the pictures that are
// committed, and no output is wider than its place.
func TestCourseIsReadWithoutRunning(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	page := browser.Open(t)
	lab := browser.StartLab(t, root)
	for name, pictures := range map[string]int{"40_star_reasoning": 3, "41_grpo_outcome": 4} {
		t.Run(name, func(t *testing.T) {
			page.Size(1400, 16000) // JupyterLab draws only what is in the window
			lab.Open(page, filepath.Join(root, "notebooks", name+".ipynb"))
			const drawn = `[...document.querySelectorAll(".jp-RenderedSVG img, .jp-RenderedSVG svg")].filter(e => e.getBoundingClientRect().height > 100)`
			page.WaitFor(fmt.Sprintf(`%s.length >= %d`, drawn, pictures))
			var wide []string
			page.Eval(`[...document.querySelectorAll(".jp-RenderedHTMLCommon")].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent.slice(0, 80))`, &wide)
			for _, w := range wide {
				t.Errorf("wider than the window: %q", w)
			}
			if dir := os.Getenv("FTLAB_SHOTS"); dir != "" {
				page.Save(filepath.Join(dir, "course_"+name+".png"))
			}
		})
	}
	page.CheckOffline()
}
