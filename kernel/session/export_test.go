package session

// NewSession connects a session that no other Connect returns.
var NewSession = connect

// Requests is how many round trips there were.
func (b *Backend) Requests() int64 { return b.requests.Load() }
