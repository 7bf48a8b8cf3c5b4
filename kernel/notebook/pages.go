package notebook

import (
	"fmt"
	"os"
	"sync"

	"ftlab/ftlib/chart"
)

// PagesEnv names the variable that says where charts go outside of a notebook: its
// value and a number make the name of an HTML file. `ft script run` sets it. Without it
// charts are text only.
const PagesEnv = "FTLAB_PAGES"

// pages are the files that this program has written.
var pages = struct {
	sync.Mutex
	n    int
	byID map[string]string
}{byID: map[string]string{}}

// writePage writes a chart to a file where [PagesEnv] asks for it, and says where when
// the file is new; a chart that is replaced keeps its file.
func writePage(f chart.Figure, id string) error {
	prefix := os.Getenv(PagesEnv)
	if prefix == "" {
		return nil
	}
	pages.Lock()
	defer pages.Unlock()
	path := pages.byID[id]
	known := id != "" && path != ""
	if !known {
		pages.n++
		path = fmt.Sprintf("%s-%d.html", prefix, pages.n)
	}
	page, err := f.Page()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		return fmt.Errorf("notebook: %w", err)
	}
	if !known {
		pages.byID[id] = path
		printPlain("chart written to " + path + "\n")
	}
	return nil
}
