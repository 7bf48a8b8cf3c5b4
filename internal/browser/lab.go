package browser

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ftlab/internal/testkit/port"
)

// Lab is a JupyterLab server with the kernel of this checkout, over a folder of its
// own: a copy of a notebook beside links to the checkout's models and data, so that
// a test leaves nothing behind.
type Lab struct {
	t    testing.TB
	dir  string
	addr string
	log  string
}

// StartLab starts the JupyterLab that scripts/lab has set up below root, and ends it
// with the test. It skips the test where there is none.
func StartLab(t testing.TB, root string) *Lab {
	t.Helper()
	venv := filepath.Join(root, ".lab", "venv")
	program := filepath.Join(venv, "bin", "jupyter-lab")
	for _, need := range []string{program, filepath.Join(venv, "share", "jupyter", "kernels", "ftlab", "kernel.json")} {
		if _, err := os.Stat(need); err != nil {
			t.Skipf("%s is missing: run scripts/lab --setup", need)
		}
	}
	l := &Lab{t: t, dir: t.TempDir(), log: filepath.Join(t.TempDir(), "jupyter.log")}
	for _, name := range []string{"models", "datasets"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(l.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(l.dir, "notebooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	number := port.Free(t, 1)[0]
	l.addr = fmt.Sprintf("http://127.0.0.1:%d", number)
	private := folder(t)
	cmd := exec.Command(program, "--no-browser", "--allow-root", "--ServerApp.root_dir="+l.dir, fmt.Sprintf("--ServerApp.port=%d", number),
		"--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.disable_check_xsrf=True",
		"--LabApp.extension_manager=readonly", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
	for _, name := range []string{"JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTERLAB_SETTINGS_DIR", "IPYTHONDIR"} {
		cmd.Env = append(cmd.Env, name+"="+filepath.Join(private, strings.ToLower(name)))
	}
	// A device server and a history of the test's own: the user's are left alone.
	goCache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+filepath.Join(private, "cache"), "GOCACHE="+strings.TrimSpace(string(goCache)))
	device := "FTLAB_DEVICE=" + filepath.Join(private, "d", "s")
	cmd.Env = append(append(os.Environ(), cmd.Env...), device)
	log, err := os.Create(l.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // asks; a second one means it
		_ = cmd.Process.Signal(os.Interrupt)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		log.Close()
		stop := exec.Command(filepath.Join(root, ".lab", "bin", "ft"), "device", "stop", "--discard")
		stop.Env = append(os.Environ(), device)
		_ = stop.Run() // where no cell has computed there is none
	})
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		if r, err := http.Get(l.addr + "/api/status"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return l
			}
		}
		if time.Now().After(end) {
			t.Fatalf("JupyterLab did not start:\n%s", l.tail())
		}
	}
}

// tail is the end of the server's log.
func (l *Lab) tail() string {
	f, err := os.Open(l.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// Open copies a notebook into the server's folder and opens it on the page, with the
// side bar closed. Its kernel may still be starting: JupyterLab keeps what is to be run
// until it is there.
func (l *Lab) Open(page *Page, notebook string) {
	l.t.Helper()
	data, err := os.ReadFile(notebook)
	if err != nil {
		l.t.Fatal(err)
	}
	name := filepath.Base(notebook)
	if err := os.WriteFile(filepath.Join(l.dir, "notebooks", name), data, 0o644); err != nil {
		l.t.Fatal(err)
	}
	page.Go(l.addr + "/lab/tree/notebooks/" + name + "?reset")
	page.WaitFor(`document.querySelector(".jp-Notebook .jp-Cell") && !document.querySelector(".jp-Spinner")`)
	page.Click(`.jp-SideBar .lm-TabBar-tab[data-id="filebrowser"]`) // closes the list of files
}

// RunAll starts all cells.
func (l *Lab) RunAll(page *Page) {
	l.t.Helper()
	page.ClickText(".lm-MenuBar-itemLabel", "Run")
	page.ClickText(".lm-Menu-itemLabel", "Run All Cells")
	page.WaitFor(prompts + `.some(p => p !== "[ ]:")`)
}

// Save stores the notebook, as the menu does.
func (l *Lab) Save(page *Page) {
	l.t.Helper()
	page.ClickText(".lm-MenuBar-itemLabel", "File")
	page.ClickText(".lm-Menu-itemLabel", "Save Notebook")
	page.WaitFor(`!document.querySelector(".jp-mod-dirty")`)
}

// WaitAll waits until the last cell is done, at most longest.
func (l *Lab) WaitAll(page *Page, longest time.Duration) {
	l.t.Helper()
	page.WaitLong(prompts+`.every(p => p !== "[*]:")`, longest)
}

// prompts are what stands left of the code cells: "[ ]:" not run, "[*]:" waiting or
// running, "[3]:" done.
const prompts = `[...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].map(e => e.textContent.trim())`

// Errors are the texts of outputs that report an error.
func (l *Lab) Errors(page *Page) []string {
	l.t.Helper()
	var out []string
	page.Eval(`[...document.querySelectorAll('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"], .jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]')].map(e => e.textContent)`, &out)
	return out
}

// Dir is the folder that the server shows; runs of its notebooks are below it.
func (l *Lab) Dir() string { return l.dir }

// folder is one that programs may still write to when the test is over: what they are about
// to finish must not fail it.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ftlab-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 50 {
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	return dir
}
