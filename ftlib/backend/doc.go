// Package backend opens the GoMLX backend that everything else computes on, and
// says which ones this machine has.
//
// Three kinds are known, best first:
//
//	xla:cuda   XLA on an NVIDIA GPU, through a PJRT plugin (a shared library)
//	xla:cpu    XLA on the processor, through a PJRT plugin
//	go         GoMLX's pure Go backend: needs nothing, several times slower
//	session:   the device server (package kernel/session), which has one of the above
//
// [Open] with an empty name takes the first that is there:
//
//	b, err := backend.Open("")       // or "xla:cpu", "go", ...
//
// [Survey] only looks at files and says what was found, what Open("") would
// choose, and why; it loads nothing. `ft doctor` prints it.
//
// # Where plugins are looked for
//
// In this order, the first match of a kind wins:
//
//  1. the folders in PJRT_PLUGIN_LIBRARY_PATH (separated as in PATH),
//  2. the folders in FTLAB_PLUGINS,
//  3. .lab/plugins of the checkout that the current folder or the running binary
//     is in (scripts/lab puts them there),
//  4. ftlab/plugins in the user's cache folder,
//  5. where go-xla's own installer puts them.
//
// Nothing is ever downloaded: go-xla's automatic installation is switched off
// before a backend is made.
//
// # Programs without a backend
//
// With the build tag ftlab_session a program links neither XLA nor the Go backend and
// computes in the device server alone. The cells of a notebook are built so: they link
// in half the time, and a megabyte instead of a plugin is loaded when they start.
//
// # Huge pages
//
// On Linux a third of the wall time of XLA on a processor goes into page faults of
// freshly allocated buffers. glibc can ask for huge pages, but only when a variable
// is in the environment before the program starts: [HugePages], called first thing
// in main, starts the program again with it.
package backend
