// Package session is a GoMLX backend whose buffers and executables live in another
// process, the device server of kernel/device. A program that uses it is ordinary GoMLX
// code; when it ends, what it kept is still there for the next one:
//
//	b, err := session.Connect("")                       // the server of this user
//	err = b.Keep(map[string]compute.Buffer{"w": buf})   // a later program: kept, err := b.Bind("w")
//
// GoMLX knows the backend by the name "session" (GOMLX_BACKEND=session: for the user's
// own server, session:PATH for the one at a socket). The first starts the server if
// there is none and ft is on the PATH; [Start] does so with any command.
//
// Names are paths: Bind("model") gives "model" and everything below "model/". Keep binds
// all its names at once, so another program sees all of the old ones or all of the new
// ones. A kept buffer that is donated to an execution stays: the server then computes
// without the donation.
//
// [Backend.LoadFile] makes the server read a model's files itself: a gigabyte is kept in
// about a second, and none of it passes through this program.
//
// # Building graphs
//
// Calls of the builder are recorded. The shape of a result comes from a memo, by
// operation, attributes and the shapes of its inputs; the server fills it from the real
// backend and hands it to each program that connects. What the memo does not know is
// asked, together with everything recorded so far. Compile sends the hash of the
// recording; only a program that the server has never compiled is sent whole. Names of
// parameters are not part of it: GoMLX makes some of them up anew in each process.
//
// A fault that does not depend on shapes (a data type that the backend lacks) is
// therefore reported by a later call or by Compile.
//
// # Executing
//
// Execute, uploads, copies and frees do not wait for the server: the program numbers the
// results itself and prepares the next request while the server computes. The order is
// kept. At most 128 such requests are under way. A failure is told by what depends on it
// (reading a result, or the result of a result), and if nobody has read it, by the next
// read, Keep, Compile or [Backend.Wait]; the text names the program. Keep then keeps
// nothing. What was asked for and not waited for ends with the program.
//
// # Memory
//
// A remote buffer is a few bytes to Go's garbage collector. The backend counts what it
// holds in the server and collects garbage when that has doubled; loops should still
// finalize or donate what they no longer need. For the same reason Go's own garbage is
// collected at about 40 MB, not 4: see wire.Ballast. Buffers that nobody kept end with the
// program, however it ends. Reading a buffer is a copy: there are no shared buffers.
//
// # When the server ends
//
// Every call then returns an error that wraps [ErrLost]; [Start] finds the next server or
// starts it. It keeps what the last one had saved: the server saves by itself, every minute
// and when it ends, and [Backend.Checkpoint] does so now. If the last one died,
// [Backend.Notice] says so and as of when it was restored. [Restart] saves and starts anew.
// An execution cannot be interrupted: it ends in the server even if the program is gone.
//
// The socket is in a folder that only its user can enter, and both ends check that the
// other belongs to the same user. This check exists on Linux only; elsewhere Connect and
// the server refuse.
package session
