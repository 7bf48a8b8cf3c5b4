//go:build !ftlab_session

package corpus

import (
	"io"
	"iter"

	"github.com/parquet-go/parquet-go"
)

// rowsPerGroup bounds what the writer holds in memory.
const rowsPerGroup = 10_000

func writeParquet(path string, rows iter.Seq2[Row, error]) error {
	root := &writeNode{kind: writeStruct}
	for row, err := range rows {
		if err != nil {
			return err
		}
		for _, c := range row.Columns {
			root.child(c).see(row.Values[c], 0)
		}
	}
	if len(root.fields) == 0 {
		return fileError(path, "cannot be written: no rows", nil, "")
	}
	root.settle()
	schema := parquet.NewSchema("schema", root.group())
	return atomically(path, func(w io.Writer) error {
		pw := parquet.NewWriter(w, schema, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(rowsPerGroup),
			parquet.CreatedBy("ftlab", "1", ""))
		cols := make([][]parquet.Value, root.leaves)
		for row, err := range rows {
			if err != nil {
				return err
			}
			for i := range cols {
				cols[i] = cols[i][:0]
			}
			for _, f := range root.fields {
				f.shred(row.Values[f.name], 0, 0, cols)
			}
			if _, err := pw.WriteRows([]parquet.Row{parquet.AppendRow(nil, cols...)}); err != nil {
				return fileError(path, "cannot be written", err, "")
			}
		}
		return pw.Close()
	})
}
