package wire

import "sync"

// ballast is memory that nobody touches, and so nobody has to have.
var ballast []byte

// Ballast lets Go's heap grow to about 40 MB before it is collected, instead of 4 MB:
// what a program that computes elsewhere has in it is small and short-lived, and
// collecting it takes a core from what computes. Remote tensors do not wait for it, see
// the collector of package session.
var Ballast = sync.OnceValue(func() int {
	ballast = make([]byte, 16<<20)
	return len(ballast)
})
