// Package device is the server behind kernel/session: a process that owns a GoMLX
// backend, its buffers and its executables, while the programs that use them come and
// go.
//
//	l, err := device.Listen(addr)                  // a unix socket in a folder of mode 0700
//	s := device.New(backend, device.Options{})
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
// itself from what it applied. At most Options.Executables stay, the least recently used
// go first; one that a session refers to always stays.
//
// # What goes wrong
//
// A panic of the backend in the goroutine of a request is that client's error. A crash
// of the process loses everything: clients get session.ErrLost. An execution runs to its
// end even when its client is gone; its results are then freed.
package device
