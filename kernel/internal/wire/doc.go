// Package wire is the language that kernel/session and kernel/device speak: frames,
// messages, and how a call of [compute.Function] or [compute.Builder] becomes bytes
// and a call again.
//
// A frame is four bytes of length and that many bytes, at most [MaxFrame]; bulk data
// (tensors) follows a frame and is announced in it. A request begins with its kind and
// a list of things the client no longer uses; a reply begins with a status byte. Some
// kinds have no reply ([Answered]): their failures are told later.
//
// Nothing is written by hand for one method of GoMLX's interface: [Enc] and [Dec] walk
// the static types of its parameters, so a value hidden in a struct of options travels
// like any other. Two programs understand each other only if their interfaces are
// equal, which [Fingerprint] compares before anything else is said.
//
// Decoding trusts no length: what a frame claims is compared with what it holds.
// Malformed input panics with an error inside Dec; [Guard] makes that an error again.
package wire
