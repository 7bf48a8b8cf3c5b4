//go:build !ftlab_session

package corpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetBatch is the number of rows held at once.
const parquetBatch = 64

// readParquet reads a parquet file of any schema, row group by row group. A group
// that is damaged is told as one error for its rows, and the next one is read.
func readParquet(path string, yield yieldFunc) {
	f, err := os.Open(path)
	if err != nil {
		yield(Row{File: path}, fileError(path, "cannot be opened", err, ""))
		return
	}
	defer f.Close()
	p := &parquetReader{path: path, yield: yield}
	if rerr := p.open(f); rerr != nil {
		yield(Row{File: path}, rerr)
		return
	}
	first := 1
	for i, group := range p.file.RowGroups() {
		p.num = first - 1
		last := first + int(group.NumRows()) - 1
		if group.NumRows() == 0 { // what writers leave for a table without rows; its pages may be nowhere
			continue
		}
		err := p.inside(i)
		if err == nil {
			err = p.group(group)
		}
		if p.stopped {
			return
		}
		if err == nil && p.num < last {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			num := p.num + 1
			rerr := &RowError{File: path, Row: num, Last: last, Column: p.damaged(group), What: "cannot be decoded", Err: plainParquet(err),
				Hint: "the file is damaged here; download or write it again"}
			if !yield(Row{File: path, Num: num}, rerr) {
				return
			}
		}
		first = last + 1
	}
}

type parquetReader struct {
	path    string
	yield   yieldFunc
	file    *parquet.File
	columns []string
	tree    *parquetNode
	num     int
	stopped bool // the consumer wants no more
}

func (p *parquetReader) open(f *os.File) (rerr *RowError) {
	defer func() {
		if r := recover(); r != nil {
			rerr = fileError(p.path, "broken parquet footer: "+oneLine(r), nil, "download or write it again")
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return fileError(p.path, "cannot be read", err, "")
	}
	if info.Size() < 12 {
		return fileError(p.path, "not a parquet file: too short", nil, "download or write it again")
	}
	var magic [4]byte
	f.ReadAt(magic[:], info.Size()-4)
	if string(magic[:]) == "PARE" {
		return fileError(p.path, "an encrypted parquet file", nil, "write it without encryption")
	}
	p.file, err = parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fileError(p.path, "not a whole parquet file", plainParquet(err), "it may be cut off: download or write it again")
	}
	for _, g := range p.file.Metadata().RowGroups {
		if g.NumRows < 0 || g.NumRows > 1<<40 {
			return fileError(p.path, fmt.Sprintf("broken parquet footer: a row group of %d rows", g.NumRows), nil, "download or write it again")
		}
	}
	root := p.file.Root()
	var logical []format.LogicalTypeValue
	for _, e := range p.file.Metadata().Schema {
		if e.Type.Valid {
			logical = append(logical, e.LogicalType.Value)
		}
	}
	p.tree = newParquetNode(root, 0, 0, logical)
	for _, c := range root.Columns() {
		p.columns = append(p.columns, c.Name())
	}
	return nil
}

// inside checks that the footer places a row group inside the file: a damaged footer
// otherwise leads to reading, and allocating, anything.
func (p *parquetReader) inside(i int) error {
	group := p.file.Metadata().RowGroups[i]
	for _, c := range group.Columns {
		m := c.MetaData
		start := m.DataPageOffset
		if d := m.DictionaryPageOffset; d > 0 && d < start {
			start = d
		}
		if start < 4 || m.TotalCompressedSize < 0 || start > p.file.Size() || m.TotalCompressedSize > p.file.Size()-start {
			return errors.New("the footer places it outside of the file")
		}
	}
	return nil
}

// group reads the rows of one row group and hands them on.
func (p *parquetReader) group(group parquet.RowGroup) (err error) {
	inConsumer := false
	defer func() {
		if r := recover(); r != nil {
			if inConsumer {
				panic(r)
			}
			err = fmt.Errorf("%s", oneLine(r))
		}
	}()
	rows := group.Rows()
	defer rows.Close()
	buf := make([]parquet.Row, parquetBatch)
	for {
		n, err := rows.ReadRows(buf)
		for _, values := range buf[:n] {
			row, rerr := p.assemble(values)
			p.num++
			inConsumer = true
			if rerr != nil {
				p.stopped = !p.yield(row, rerr)
			} else {
				p.stopped = !p.yield(row, nil)
			}
			inConsumer = false
			if p.stopped {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrNoProgress
		}
	}
}

// assemble puts the values of a row back into their nesting.
func (p *parquetReader) assemble(values parquet.Row) (Row, *RowError) {
	row := Row{File: p.path, Num: p.num + 1, Columns: p.columns, Values: make(map[string]any, len(p.columns))}
	cols := make([][]parquet.Value, p.tree.leaves)
	for i := 0; i < len(values); {
		c := values[i].Column()
		j := i + 1
		for j < len(values) && values[j].Column() == c {
			j++
		}
		cols[c] = values[i:j]
		i = j
	}
	var bad *RowError
	for _, field := range p.tree.fields {
		v, invalid := field.value(cols[field.first:field.first+field.leaves], 0)
		row.Values[field.name] = v
		if invalid && bad == nil {
			bad = &RowError{File: p.path, Row: row.Num, Column: field.name, What: "not valid UTF-8", Hint: "write the column again as UTF-8"}
		}
	}
	return row, bad
}

// damaged finds the column of a row group that does not decode.
func (p *parquetReader) damaged(group parquet.RowGroup) string {
	names := p.file.Schema().Columns()
	for i, chunk := range group.ColumnChunks() {
		if !readable(chunk) && i < len(names) {
			return dotted(names[i])
		}
	}
	return ""
}

func readable(chunk parquet.ColumnChunk) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	pages := chunk.Pages()
	defer pages.Close()
	buf := make([]parquet.Value, 256)
	for {
		page, err := pages.ReadPage()
		if err == io.EOF {
			return true
		}
		if err != nil {
			return false
		}
		values := page.Values()
		for {
			_, err := values.ReadValues(buf)
			if err == io.EOF {
				break
			}
			if err != nil {
				return false
			}
		}
		parquet.Release(page)
	}
}

// plainParquet shortens the library's errors.
func plainParquet(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("it ends in the middle")
	}
	return fmt.Errorf("%s", oneLine(err))
}

// classNames are the words for the numbers of a class column, which data sets of
// the hub keep in the file's metadata: {"0": "neg", "1": "pos"}. nil where there are
// none.
func classNames(path, column string) map[string]string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	p := &parquetReader{path: path}
	if p.open(f) != nil {
		return nil
	}
	text, _ := p.file.Lookup("huggingface")
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage
		}
	}
	var class struct{ Names []string }
	if json.Unmarshal([]byte(text), &meta) != nil || json.Unmarshal(meta.Info.Features[column], &class) != nil || len(class.Names) == 0 {
		return nil
	}
	out := map[string]string{}
	for i, name := range class.Names {
		out[strconv.Itoa(i)] = name
	}
	return out
}
