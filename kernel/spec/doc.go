// Package spec installs the kernelspec: the small folder that tells Jupyter how to
// start FTLab's Go kernel.
//
//	dir, err := spec.Install(spec.Kernel{Root: checkout, Where: spec.Prefix(venv)})
//
// The kernel is `ft kernel`, in front of gonb, which compiles every cell into a program.
// The spec can go into a Python environment, a user's or the whole system's folder
// ([Prefix], [User], [System]); what it says is the same, and [List] finds all of them.
// It gives gonb what a cell needs to import FTLab from this checkout, without a network and
// without a line of magic in the notebook:
//
//   - gonb starts every notebook with a go.work that uses the checkout, so that
//     import "ftlab/ftlib/..." and everything in the checkout's go.mod resolve;
//   - gonb, gopls and goimports come from the checkout's .lab/bin, go from where it
//     was at installation, whatever PATH Jupyter was started with;
//   - cells are built with the SIMD experiment and linked without debug information,
//     which makes an edited cell start in a third of the time;
//   - no cell uses the network: a module that the checkout's go.mod does not have is
//     added there, once, with `go get module@version` in a terminal;
//   - plugins are found in .lab/plugins, nothing is downloaded, and malloc uses huge
//     pages (see package backend).
package spec
