// Package acceptance tests FTLab as it is installed, from outside: the kernel that
// scripts/lab has set up, driven by the programs that people drive it with and by a
// front end in Go that breaks things on purpose.
//
//	k := acceptance.Start(t)                 // skips, saying so, where nothing is installed
//	reply := k.Run("1+2")
//	k.Left()                                 // fails if a process outlives the kernel
//
// Jupyter's own tests for kernels, nbclient and papermill run in the Python environment
// of the set-up (folder testdata), and every one of their tests counts as a test here.
package acceptance
