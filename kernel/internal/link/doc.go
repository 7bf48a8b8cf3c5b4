// Package link is how a cell and the kernel talk: frames of JSON over a unix socket.
//
//	l, err := link.Listen(path)              // the kernel; the folder of path is its user's alone
//	go link.Serve(l, func(p *link.Peer) link.Handler { ... })
//
//	p, err := link.Dial(path, onEvent)       // a cell
//	err = p.Call("open", request, &answer)   // waits for the answer
//
// A frame is its length in four bytes, little endian, and a JSON object of at most
// [MaxFrame] bytes:
//
//	{"id": 7, "verb": "open", "body": ...}   a request
//	{"id": 7, "body": ...}                   its answer, or "error": "..."
//	{"verb": "event", "body": ...}           an event, which is not answered
//
// The first request is "hello" with the version of what is spoken. Whoever is at the
// other end must run as the same user.
package link
