// Package jupyter is the kernel that Jupyter talks to: it stands between a front end
// and gonb, which compiles and runs the cells, and answers what gonb does not.
//
//	k, err := jupyter.New(jupyter.Config{ConnectionFile: file, Command: []string{"gonb", ...}})
//	if err != nil { ... }
//	defer k.Close()
//	err = k.Run(ctx) // until Jupyter says shutdown, or the front end's process is gone
//
// A request goes this way:
//
//	front end --tcp, its key--> Kernel --unix sockets, a key of its own--> gonb --> cell
//
// Both sides sign with HMAC-SHA256 and a message that is not signed right is dropped.
// The identities before a message and its header pass through unchanged, so that
// replies find their way back, and an answer of gonb names the request of the front
// end as its parent.
//
// Requests on the shell channel are answered one after another. The kernel itself
// answers kernel_info, is_complete (from go/parser), history (kept on disk), comm_info,
// and complete and inspect, for which it keeps a gopls of its own warm, also while a
// cell runs; everything else is gonb's. Around gonb it adds what its users miss:
//
//   - a cell of bare statements is a program, and its last expression is its result
//     (see [Rewrite]);
//   - a cell that fails makes one error message, whose trace points to lines of cells;
//   - an interrupt is acknowledged at once; the cell gets SIGINT, and SIGKILL five
//     seconds later, also while it is being compiled;
//   - gonb that dies is started again with the declarations of the session, and the user
//     is told;
//   - magics of the Config's beside gonb's, %time and %help; a wrong name is an error;
//   - output beyond two megabytes is cut, and how much is said; a process that a cell
//     leaves behind with the cell's output open is ended;
//   - no process is left behind: gonb runs below a [Reaper], which kills everything
//     below it when the kernel ends, in whatever way it ends.
package jupyter
