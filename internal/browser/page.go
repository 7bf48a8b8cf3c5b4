package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait; tests end earlier when what they wait for comes.
const patience = 60 * time.Second

// Page is one tab.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	requests []string
	console  []string
}

// Find returns the path of a Chromium, or "": FTLAB_BROWSER, or one on the PATH.
func Find() string {
	if p := os.Getenv("FTLAB_BROWSER"); p != "" {
		return p
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	return ""
}

// Open starts a browser of 1400 x 1000 pixels that ends with the test. It skips the
// test where there is none.
func Open(t testing.TB) *Page {
	t.Helper()
	path := Find()
	if path == "" {
		t.Skip("no Chromium on the PATH and FTLAB_BROWSER is not set")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // containers run as root
		chromedp.UserDataDir(folder(t)),
		chromedp.WindowSize(1400, 1000),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
	)
	ctx, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancelAllocator)
	t.Cleanup(cancel)

	p := &Page{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, p.listen)
	p.run("starting the browser", network.Enable(), chromedp.EmulateViewport(1400, 1000))
	return p
}

func (p *Page) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *network.EventWebSocketCreated:
		p.requests = append(p.requests, e.URL)
	case *runtime.EventConsoleAPICalled:
		for _, a := range e.Args {
			p.console = append(p.console, string(e.Type)+": "+string(a.Value))
		}
	case *runtime.EventExceptionThrown:
		p.console = append(p.console, "exception: "+e.ExceptionDetails.Error())
	}
}

func (p *Page) run(what string, actions ...chromedp.Action) {
	p.t.Helper()
	// The first call starts the browser and must not carry a deadline: chromedp ends
	// the browser with the context that started it.
	done := make(chan error, 1)
	go func() { done <- chromedp.Run(p.ctx, actions...) }()
	select {
	case err := <-done:
		if err != nil {
			p.t.Fatalf("browser: %s: %v\nconsole: %q", what, err, p.Console())
		}
	case <-time.After(patience):
		p.t.Fatalf("browser: %s: nothing after %s\nconsole: %q", what, patience, p.Console())
	}
}

// Go opens an address.
func (p *Page) Go(address string) {
	p.t.Helper()
	p.run("opening "+address, chromedp.Navigate(address))
}

// GoFile opens a file.
func (p *Page) GoFile(path string) {
	p.t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Go((&url.URL{Scheme: "file", Path: abs}).String())
}

// Eval runs a JavaScript expression and stores its value in into (nil: dropped).
// Promises are waited for.
func (p *Page) Eval(expression string, into any) {
	p.t.Helper()
	p.run("evaluating "+expression, chromedp.Evaluate(expression, into,
		func(e *runtime.EvaluateParams) *runtime.EvaluateParams { return e.WithAwaitPromise(true) }))
}

// WaitFor waits until a JavaScript expression is true.
func (p *Page) WaitFor(expression string) { p.t.Helper(); p.WaitLong(expression, patience) }

// WaitLong is [Page.WaitFor] with a longest time of its own.
func (p *Page) WaitLong(expression string, longest time.Duration) {
	p.t.Helper()
	for end := time.Now().Add(longest); ; time.Sleep(100 * time.Millisecond) {
		var ok bool
		p.Eval("Boolean("+expression+")", &ok)
		if ok {
			return
		}
		if time.Now().After(end) {
			var text string
			p.Eval(`document.body.innerText`, &text)
			if dir := os.Getenv("FTLAB_SHOTS"); dir != "" {
				p.Save(filepath.Join(dir, "failed.png"))
			}
			p.t.Fatalf("browser: never became true: %s\nconsole: %q\nthe page: %s", expression, p.Console(), text)
		}
	}
}

// Click presses the first element of a CSS selector.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.run("clicking "+selector, chromedp.Click(selector, chromedp.ByQuery))
}

// ClickText presses the first visible element of a CSS selector whose text is the
// given one, with the mouse, as menus want it.
func (p *Page) ClickText(selector, text string) {
	p.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll(%q)].find(e => e.textContent.trim() === %q && e.getClientRects().length)`, selector, text)
	p.WaitFor(find)
	var at [2]float64
	p.Eval(`(r => [r.x + r.width/2, r.y + r.height/2])(`+find+`.getBoundingClientRect())`, &at)
	// A menu takes a click only on the entry that the pointer has been seen to enter.
	p.run("clicking "+text, chromedp.MouseEvent("mouseMoved", at[0]-1, at[1]), chromedp.MouseEvent("mouseMoved", at[0], at[1]),
		chromedp.Sleep(100*time.Millisecond), chromedp.MouseClickXY(at[0], at[1]))
}

// Move puts the pointer at a place of the window.
func (p *Page) Move(x, y float64) {
	p.t.Helper()
	p.run("moving the pointer", chromedp.MouseEvent("mouseMoved", x, y))
}

// Keys types text and special keys (package kb of chromedp) where the focus is.
func (p *Page) Keys(keys string, options ...chromedp.KeyOption) {
	p.t.Helper()
	p.run("typing", chromedp.KeyEvent(keys, options...))
}

// Dark makes the page believe that the system is set to dark, or to light.
func (p *Page) Dark(dark bool) {
	p.t.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	p.run("setting the colour scheme", emulation.SetEmulatedMedia().WithFeatures(
		[]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}))
}

// Screenshot returns what the window shows as PNG.
func (p *Page) Screenshot() []byte {
	p.t.Helper()
	var data []byte
	p.run("taking a picture", chromedp.ActionFunc(func(ctx context.Context) error {
		var err error
		data, err = page.CaptureScreenshot().Do(ctx)
		return err
	}))
	return data
}

// Save writes a screenshot to a file.
func (p *Page) Save(path string) {
	p.t.Helper()
	if err := os.WriteFile(path, p.Screenshot(), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// Size sets the size of the window in pixels.
func (p *Page) Size(width, height int) {
	p.t.Helper()
	p.run("resizing", chromedp.EmulateViewport(int64(width), int64(height)))
}

// Console returns what the page wrote to its console, and its uncaught exceptions.
func (p *Page) Console() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.console)
}

// Requests returns every address that was asked for so far.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// CheckOffline fails the test if the page asked another machine for anything.
func (p *Page) CheckOffline() {
	p.t.Helper()
	for _, r := range p.Requests() {
		u, err := url.Parse(r)
		if err != nil {
			p.t.Errorf("browser: request for %q", r)
			continue
		}
		switch u.Scheme {
		case "file", "data", "blob", "about", "chrome":
			continue
		}
		if h := u.Hostname(); h != "localhost" && h != "127.0.0.1" && h != "::1" {
			p.t.Errorf("browser: the page asked for %s", r)
		}
	}
}

// Ink counts the pixels of the canvases under a selector that are not transparent,
// and how many different colours they have: a chart that was drawn has many of both.
func (p *Page) Ink(selector string) (pixels, colours int) {
	p.t.Helper()
	var n [2]int
	p.Eval(fmt.Sprintf(`(function(){let n=0,seen=new Set();
for(const c of document.querySelectorAll(%q+" canvas")){const d=c.getContext("2d").getImageData(0,0,c.width,c.height).data;
for(let i=0;i<d.length;i+=4)if(d[i+3]){n++;seen.add((d[i]>>4)*256+(d[i+1]>>4)*16+(d[i+2]>>4))}}
return [n,seen.size]})()`, selector), &n)
	return n[0], n[1]
}
