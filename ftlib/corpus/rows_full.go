//go:build !ftlab_session

package corpus

import "iter"

// What the ft program does for cells; see cell.go.

// ReadParquet reads a parquet file as it stands.
func ReadParquet(path string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) { readParquet(path, yield) }
}

// ClassNames are the words for the numbers of a class column; nil where there are none.
func ClassNames(path, column string) map[string]string { return classNames(path, column) }

// FetchDataset downloads a data set into the hub's cache.
func FetchDataset(name, revision, cache string) error { return download(name, revision, cache) }
