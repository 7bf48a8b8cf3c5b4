package notebook

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"ftlab/internal/browser"
)

// frontEnd shows outputs as JupyterLab does: one place a display id, whose content an
// update replaces, and whose scripts are then run.
const frontEnd = `<!doctype html><meta charset="utf-8"><body style="color:#222"><script>
function show(id, html) {
	let e = document.getElementById("place-" + id);
	if (!e) { e = document.createElement("div"); e.id = "place-" + id; document.body.append(e); }
	e.innerHTML = html;
	for (const old of e.querySelectorAll("script")) {
		const s = document.createElement("script");
		s.textContent = old.textContent;
		old.replaceWith(s);
	}
}
</script>`

// A live chart moves on the page: it is made once, takes new steps from the progress
// line, and its final state is whole in itself.
func TestLiveInABrowser(t *testing.T) {
	page := browser.Open(t)
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(frontEnd), 0o644); err != nil {
		t.Fatal(err)
	}
	page.GoFile(path)

	var live *LiveChart
	sent := cellOutputs(t, func() {
		live = Live("a run")
		live.every = 0
		for _, e := range course(30) {
			_ = live.Event(e)
		}
	})
	show := func(d *protocol.DisplayData) {
		id, _ := json.Marshal(d.DisplayID)
		html, err := json.Marshal(mime(d, protocol.MIMETextHTML))
		if err != nil {
			t.Fatal(err)
		}
		page.Eval(fmt.Sprintf("show(%s, %s)", id, html), nil)
	}
	steps := fmt.Sprintf(`ftlabChart.charts[%q]?.chart.getOption().series[0].data.length`, live.id)

	show(sent[0]) // getting ready
	show(sent[1]) // the chart with its first step
	page.WaitFor(steps + " === 1")
	page.Eval(fmt.Sprintf(`window.first = ftlabChart.charts[%q].chart; true`, live.id), nil)
	for _, d := range sent[2:12] {
		show(d)
	}
	page.WaitFor(steps + " > 5")
	page.WaitFor(fmt.Sprintf(`window.first === ftlabChart.charts[%q].chart`, live.id))
	page.WaitFor(`document.querySelector("progress").value > 5 && document.body.innerText.includes("of 30")`)

	for _, d := range sent[12:] {
		show(d)
	}
	page.WaitFor(steps + " === 30")
	page.WaitFor(`!document.querySelector("progress") && document.body.innerText.includes("done: 30 steps")`)
	if pixels, colours := page.Ink("body"); pixels < 5000 || colours < 20 {
		t.Errorf("%d pixels in %d colours", pixels, colours)
	}
	page.CheckOffline()
	for _, line := range page.Console() {
		t.Errorf("console: %s", line)
	}
}
