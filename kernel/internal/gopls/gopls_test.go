package gopls

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T) *Client {
	t.Helper()
	bin, err := filepath.Abs("../../../.lab/bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if _, err := exec.LookPath("gopls"); err != nil {
		t.Skip("gopls is missing: scripts/lab --setup installs it")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module cell\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	c, err := Start(ctx, Config{Dir: dir, Env: []string{"GOWORK=off", "GOPROXY=off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestCompleteAndHover(t *testing.T) {
	c := start(t)
	// The é and the emoji count one and two units of UTF-16.
	text := "package main\n\nimport \"fmt\"\n\n// Été is summer.\nfunc Été() {}\n\nfunc main() {\n\ts := \"é😀\"; fmt.Println(s)\n}\n"
	if err := c.Update(text); err != nil {
		t.Fatal(err)
	}
	at := func(units int) Position { return Position{8, units} }
	items, err := c.Complete(t.Context(), at(24)) // behind fmt.Println
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(items, func(it Item) bool { return it.Text == "Println" })
	if i < 0 || items[i].Range != (Range{at(17), at(24)}) || items[i].Kind != 3 || !strings.Contains(items[i].Detail, "func(") {
		t.Errorf("%+v", items)
	}
	doc, err := c.Hover(t.Context(), at(18))
	if err != nil || !strings.Contains(doc, "Println formats using the default formats") {
		t.Errorf("%q %v", doc, err)
	}
	if err := c.Update(strings.Replace(text, "func main() {", "func other() {}\n\nfunc main() {\n\tothe", 1)); err != nil {
		t.Fatal(err)
	}
	if items, err = c.Complete(t.Context(), Position{10, 5}); err != nil || len(items) == 0 || items[0].Text != "other" {
		t.Errorf("after a change: %+v %v", items, err)
	}
}

func TestGone(t *testing.T) {
	c := start(t)
	if err := c.Update("package main\n"); err != nil {
		t.Fatal(err)
	}
	killGroup(c.cmd.Process.Pid)
	<-c.done
	if _, err := c.Complete(t.Context(), Position{}); err == nil || c.Alive() {
		t.Errorf("it was killed, but: %v", err)
	}
}
