//go:build ftlab_session

package llm

import "ftlab/ftlib/corpus"

// downloadModel lets the ft program do it: cells are built without the network's libraries.
func downloadModel(name, revision, cache string) error {
	return corpus.FetchModel(name, revision, cache)
}
