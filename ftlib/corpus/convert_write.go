package corpus

import (
	"iter"
	"slices"
)

// Converted is what a conversion did.
type Converted struct {
	Out     string   `json:"out"`
	Kind    Kind     `json:"kind"`
	Rows    int      `json:"rows"`    // read
	Records int      `json:"records"` // written
	Left    int      `json:"left"`    // rows that gave no record
	Reasons []Reason `json:"reasons,omitempty"`
}

// Convert reads rows by a mapping, turns them into the kind given (zero: the
// mapping's own) and writes them with canonical columns to out: .parquet or
// .jsonl, also .jsonl.gz and .jsonl.zst. The file appears whole or not at all.
// Rows that give no record are counted with their reasons.
func Convert(rows iter.Seq2[Row, error], m Mapping, kind Kind, out string) (Converted, error) {
	if kind == "" {
		kind = m.Kind
	}
	c := Converted{Out: out, Kind: kind}
	if kind != m.Kind && !slices.Contains(conversions[m.Kind], kind) {
		_, err := To(Record{Kind: m.Kind, File: out}, kind)
		return c, err
	}
	asMessages, some := false, false
	var first error
	for rec, err := range records(rows, m, kind) {
		if err == nil {
			some = true
			asMessages = asMessages || rec.hasMessages()
		} else if first == nil {
			first = err
		}
	}
	if !some {
		err := &RowError{File: out, What: "no row gives a record of kind " + string(kind)}
		if first != nil {
			err.What += "; the first: " + first.Error()
		}
		return c, err
	}
	var why reasons
	var left, written int
	err := WriteRows(out, func(yield func(Row, error) bool) {
		why, left, written = reasons{}, 0, 0
		for rec, err := range records(rows, m, kind) {
			if err != nil {
				rerr := asRowError(err)
				why.add(rerr, rerr.File, rerr.Row)
				left += rerr.lost()
				continue
			}
			written++
			if !yield(rec.Row(asMessages), nil) {
				return
			}
		}
	})
	c.Records, c.Left, c.Reasons = written, left, why.sorted()
	c.Rows = m.Rows
	return c, err
}

// records are all records of all rows, turned into a kind.
func records(rows iter.Seq2[Row, error], m Mapping, kind Kind) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for row, err := range rows {
			if err != nil {
				if !yield(Record{File: row.File, Num: row.Num}, err) {
					return
				}
				continue
			}
			recs, err := Records(row, m)
			if err != nil {
				if !yield(Record{File: row.File, Num: row.Num}, err) {
					return
				}
				continue
			}
			if kind == KindPrompt {
				recs = recs[:1] // they share their prompt
			}
			for _, rec := range recs {
				out, err := To(rec, kind)
				if err != nil {
					if !yield(rec, err) {
						return
					}
					continue
				}
				for _, r := range out {
					if !yield(r, nil) {
						return
					}
				}
			}
		}
	}
}

// Read is the records of a path, with what they were recognised as: the way from
// a file to training in one call. Rows that give no record are error values.
func Read(path string, opts OpenOptions, want Want) (Mapping, iter.Seq2[Record, error], error) {
	m, err := Recognise(Open(path, opts), want)
	if err != nil {
		return m, nil, err
	}
	rows := Open(path, opts)
	return m, func(yield func(Record, error) bool) {
		for row, err := range rows {
			rec := Record{Kind: m.Kind, File: row.File, Num: row.Num}
			if err == nil {
				rec, err = Format(row, m)
			}
			if !yield(rec, err) {
				return
			}
		}
	}, nil
}
