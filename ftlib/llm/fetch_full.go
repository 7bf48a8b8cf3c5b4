//go:build !ftlab_session

package llm

// FetchModel downloads a model into the hub's cache; cells let the ft program call it.
func FetchModel(name, revision, cache string) error { return downloadModel(name, revision, cache) }
