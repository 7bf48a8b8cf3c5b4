// Package device is the server behind kernel/session: a process that owns a GoMLX
// backend, its buffers and its executables, while the programs that use them come and
// go.
//
//	l, err := device.Listen(addr)                  // a unix socket in a folder of mode 0700
//	s := device.New(backend, device.Options{State: dir})
//	notice, err := s.Recover(os.Args[1:], false)   // what the last server has saved
//	err = s.Serve(l)                               // until Close, Stop, or nobody needs it
//
// Clients run as the same user; the socket's credentials are checked, and so is a
// fingerprint of the whole interface before anything else is read.
//
// # Who owns what
//
// A session (one client program, on any number of connections) holds references to
// buffers and executables. They end with its last connection, however the program ended.
// A name that is kept is one more reference, and the only one that outlives a session.
// Binding several names, or reading them, happens under one lock: a snapshot. A donated
// buffer to which anything else refers is not given to the backend as donated.
//
// # Executables
//
// Programs are cached by the hash of their recorded calls, which the server computes
// itself from what it applied. At most Options.Executables stay, of at most
// Options.ExecutableBytes together (about: nobody says what code takes), the least
// recently used go first; one that a session refers to always stays.
//
// # Files
//
// The server reads safetensors files itself, straight into kept buffers, one tensor at a
// time; all of their names appear at once. It writes everything kept to a folder, as
// safetensors files and kept.json, which is replaced last: a checkpoint is whole or is
// not there, and the one before it stays until then. Buffers never change, so only those
// that the last checkpoint does not hold are written. Restoring compares checksums, and
// keeps all or nothing.
//
// With Options.State the server does this by itself: every minute if what is kept has
// changed, at an orderly end, and before Stop, which fails rather than lose something.
// [Server.Recover] restores it in the next server, which tells the next programs in
// words if the last one died, and moves aside what it cannot restore.
//
// # Memory
//
// All buffers, the results and the temporaries of what runs, and what is being loaded
// are together at most Options.LimitBytes, and the machine must have the memory that is
// asked for. It is looked at before: an upload, a load or an execution is refused with a
// text that names what is kept, how large it is and what to drop. Temporaries are known
// from XLA's compiler on a GPU, from a program's first execution otherwise.
//
// # What goes wrong
//
// A panic of the backend in the goroutine of a request is that client's error. A crash
// of the process loses what is not saved: clients get session.ErrLost. An execution runs to its
// end even when its client is gone; its results are then freed.
package device
