// Package trust lets a program on one machine use the device server of another over TCP,
// and nobody else. The server's user has a certificate authority of their own, made when
// it is first needed, in a folder that only they can enter:
//
//	a, err := trust.Open(dir)
//	token, id, err := a.Issue("laptop", "gpu:7411", 90*24*time.Hour)   // one line to paste
//	l, err := trust.Listen(":7411", a)
//
//	t, err := trust.Parse(token)                                       // on the other machine
//	err = t.Store()
//	conn, err := trust.Dial("tls://gpu:7411")
//
// Both sides show an ed25519 certificate of that authority; TLS 1.3 is the only version.
// A token holds the client's key: whoever has it may compute on the server until the
// token expires or is revoked. That is looked up with everything that it sends, so that a
// connection which is open ends, too: nothing is answered any more, and one that is silent
// is closed within a second.
//
// Before a client has proved who it is, it gets little: at most [maxStrangers] such
// connections at once, each for at most [patience].
package trust
