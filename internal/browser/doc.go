// Package browser opens pages in a headless Chromium for tests that must see what a
// person would see.
//
//	page := browser.Open(t)              // skips, saying so, where no Chromium is installed
//	page.Go("file:///.../chart.html")
//	page.WaitFor(`document.querySelector("canvas") !== null`)
//	page.CheckOffline()                  // fails if the page asked for anything but this machine
//
// The browser resolves no name but localhost: a page that needs the network fails
// here as it does on a train.
package browser
