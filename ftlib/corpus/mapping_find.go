package corpus

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Recognise finds out what rows are: their kind and the column of every field. It
// looks at all rows, not only the first ones, and ranges over them twice: once to
// see what stands in each column, once to count how many rows every reading of
// them fits. The reading that fits best is taken; among those within one in
// twenty of it, the one that says most about a row (see [Forms] for the order).
//
// The mapping is returned with an error too, so that a report can show what was
// seen. Rows that do not fit are counted in Misfits, rows that could not be read
// in Broken, with their reasons: nothing is left out in silence.
func Recognise(rows iter.Seq2[Row, error], want Want) (Mapping, error) {
	r := &recogniser{want: want, seen: shapes{byPath: map[string]*shapeOf{}}, mended: shapes{byPath: map[string]*shapeOf{}}}
	if err := r.look(rows); err != nil {
		return r.m, err
	}
	if err := r.propose(); err != nil {
		return r.m, err
	}
	if err := r.count(rows); err != nil {
		return r.m, err
	}
	return r.choose()
}

// recogniser is one run of Recognise.
type recogniser struct {
	want   Want
	seen   shapes
	mended shapes // of rows that are read in spite of a fault; taken when there are no others
	m      Mapping
	file   string
	cands  []*candidate
	broken reasons
	first  error // of the rows that cannot be read
}

// candidate is a form with columns for its fields.
type candidate struct {
	form    *form
	order   int
	m       Mapping
	fits    int
	reasons reasons
}

// reasons counts faults by what they are.
type reasons struct {
	list []Reason
	at   map[string]int
}

func (r *reasons) add(err *RowError, file string, num int) {
	key := err.Column + "\x00" + err.Reason()
	i, ok := r.at[key]
	if !ok {
		if r.at == nil {
			r.at = map[string]int{}
		}
		if len(r.list) >= 200 { // a file of rubbish has a reason a row
			key = "\x00more"
			if i, ok = r.at[key]; !ok {
				err = &RowError{What: "other faults"}
			}
		}
		if !ok {
			i = len(r.list)
			r.at[key] = i
			r.list = append(r.list, Reason{What: err.Reason(), Column: err.Column, File: file, Row: num})
		}
	}
	r.list[i].Count += err.lost()
}

func (r *reasons) sorted() []Reason {
	out := slices.Clone(r.list)
	slices.SortStableFunc(out, func(a, b Reason) int { return cmp.Compare(b.Count, a.Count) })
	return out
}

// look is the first pass.
func (r *recogniser) look(rows iter.Seq2[Row, error]) error {
	for row, err := range rows {
		if r.file == "" {
			r.file = row.File
		}
		if err != nil {
			rerr := asRowError(err)
			if r.first == nil {
				r.first = err
			}
			r.broken.add(rerr, row.File, row.Num)
			r.m.Broken += rerr.lost()
			r.m.Rows += rerr.lost()
			if row.Values != nil {
				r.mended.add(row)
			}
			continue
		}
		r.m.Rows++
		r.seen.add(row)
	}
	r.m.Reasons = r.broken.sorted()
	if r.m.Rows == 0 {
		return &RowError{File: cmp.Or(r.file, "(no file)"), What: "no rows"}
	}
	if len(r.seen.order) > 0 {
		return nil
	}
	if len(r.mended.order) == 0 {
		return r.first // no row can be read
	}
	r.seen = r.mended
	return nil
}

// propose binds the columns to the fields of every form that they may fill.
func (r *recogniser) propose() error {
	table := formTable()
	if r.want.Format != "" {
		table = wantedForms(r.want.Format)
		if len(table) == 0 {
			return &RowError{File: r.file, What: fmt.Sprintf("unknown format %q", r.want.Format), Hint: "known: " + strings.Join(formList(), ", ")}
		}
	}
	columns, options, err := r.options()
	if err != nil {
		return err
	}
	for i := range table {
		c := &candidate{form: formNamed(table[i].name), order: i}
		c.m = options
		c.m.Kind, c.m.Form, c.m.Columns = c.form.kind, c.form.name, map[string]string{}
		if r.bind(c, columns) {
			r.cands = append(r.cands, c)
		}
	}
	if len(r.cands) > 0 {
		return nil
	}
	for name := range columns {
		if !slices.ContainsFunc(table, func(f form) bool { return f.has(name) }) {
			var known []string
			for _, f := range table[:min(3, len(table))] {
				known = append(known, f.name+" has "+strings.Join(neededFields(f), ", "))
			}
			return &RowError{File: r.file, What: fmt.Sprintf("no field is called %q", name), Hint: strings.Join(known, "; ") + "; see ft data formats"}
		}
	}
	var missing []string
	if r.want.Format != "" {
		for _, f := range table {
			missing = append(missing, fmt.Sprintf("%s needs %s", f.name, strings.Join(neededFields(f), ", ")))
		}
	}
	what := "no known format has the columns " + strings.Join(r.topColumns(), ", ")
	hint := "say which is which with --format and --columns field=column, for example --format prompt-completion --columns prompt=A,completion=B"
	if len(missing) > 0 {
		what = fmt.Sprintf("format %q does not fit the columns %s", r.want.Format, strings.Join(r.topColumns(), ", "))
		hint = strings.Join(missing, "; ") + "; name the columns with --columns field=column"
	}
	return &RowError{File: r.file, What: what, Hint: hint}
}

func (f form) has(name string) bool {
	return slices.ContainsFunc(f.fields, func(fd field) bool { return fd.name == name })
}

func neededFields(f form) []string {
	var out []string
	for _, fd := range f.fields {
		if !fd.optional {
			out = append(out, fd.name)
		}
	}
	return out
}

func (r *recogniser) topColumns() []string {
	var out []string
	for _, p := range r.seen.order {
		if !strings.Contains(p, ".") {
			out = append(out, p)
		}
	}
	if len(out) > 20 {
		out = append(out[:20], "...")
	}
	return out
}

// options splits Want.Columns into columns and options, and checks the columns.
func (r *recogniser) options() (columns map[string]string, m Mapping, err error) {
	columns = map[string]string{}
	for key, value := range r.want.Columns {
		switch {
		case strings.HasPrefix(key, "label."):
			if m.Labels == nil {
				m.Labels = map[string]string{}
			}
			m.Labels[strings.TrimPrefix(key, "label.")] = value
		case key == "template":
			if !strings.Contains(value, "{text}") {
				return nil, m, &RowError{File: r.file, What: fmt.Sprintf("the template %q has no {text}", value)}
			}
			m.Template = strings.ReplaceAll(value, `\n`, "\n")
		case key == "calculator":
			if value != "strip" && value != "keep" {
				return nil, m, &RowError{File: r.file, What: fmt.Sprintf("calculator is %q", value), Hint: "strip or keep"}
			}
			m.Calculator = value
		default:
			if r.seen.byPath[value] == nil {
				return nil, m, &RowError{File: r.file, Column: value, What: "no such column (for field " + key + ")", Hint: "there are " + strings.Join(r.topColumns(), ", ")}
			}
			columns[key] = value
		}
	}
	return columns, m, nil
}

// bind finds a column for every field; false when a needed one has none.
func (r *recogniser) bind(c *candidate, given map[string]string) bool {
	used := map[string]bool{}
	known := map[string]bool{}
	for _, fd := range c.form.fields {
		known[fd.name] = true
		if col, ok := given[fd.name]; ok {
			c.m.Columns[fd.name] = col
			used[col] = true
		}
	}
	for name := range given {
		if !known[name] {
			return false
		}
	}
	for _, fd := range c.form.fields {
		if c.m.Columns[fd.name] != "" {
			continue
		}
		for _, name := range fd.names {
			if sh := r.column(name); sh != nil && !used[sh.path] && (fd.accept == nil && sh.rows > 0 || fd.accept != nil && fd.accept(sh)) {
				c.m.Columns[fd.name] = sh.path
				used[sh.path] = true
				break
			}
		}
		if c.m.Columns[fd.name] == "" && !fd.optional {
			return false
		}
	}
	return true
}

// column finds a column by name, then without regard to case and to spaces.
func (r *recogniser) column(name string) *shapeOf {
	if sh := r.seen.byPath[name]; sh != nil {
		return sh
	}
	for _, p := range r.seen.order {
		if !strings.Contains(p, ".") && strings.EqualFold(strings.ReplaceAll(p, " ", "_"), name) {
			return r.seen.byPath[p]
		}
	}
	return nil
}

// count is the second pass: how many rows does each candidate fit?
func (r *recogniser) count(rows iter.Seq2[Row, error]) error {
	n := 0
	for row, err := range rows {
		if err != nil {
			n += asRowError(err).lost()
			if row.Values == nil || r.m.Broken < r.m.Rows {
				continue
			}
		} else {
			n++
		}
		for _, c := range r.cands {
			if _, err := Records(row, c.m); err != nil {
				c.reasons.add(asRowError(err), row.File, row.Num)
			} else {
				c.fits++
			}
		}
	}
	if n != r.m.Rows {
		return errors.New("corpus: the rows to recognise must be readable twice, as those of Open are")
	}
	return nil
}

// choose takes the best candidate and says why not the others.
func (r *recogniser) choose() (Mapping, error) {
	best := 0
	for _, c := range r.cands {
		best = max(best, c.fits)
	}
	var pick *candidate
	for _, c := range r.cands {
		// Prompts alone fit where answers are missing: that is a fault of the rows.
		alone := c.form.kind != KindPrompt && c.fits*3 >= best && r.onlyPrompts(best)
		if pick == nil && c.fits > 0 && (c.fits*20 >= best*19 || alone) {
			pick = c
		}
	}
	seen := r.m
	if pick == nil {
		c := r.cands[0]
		why := c.reasons.sorted()
		seen.Reasons = append(why, seen.Reasons...)
		err := &RowError{File: r.file, What: "no row fits " + c.form.name, Hint: "name the columns with --columns field=column"}
		if len(why) > 0 {
			err.Row, err.Column, err.What = why[0].Row, why[0].Column, fmt.Sprintf("%s (no row fits %s)", why[0].What, c.form.name)
		}
		return seen, err
	}
	m := pick.m
	m.Rows, m.Broken, m.Fits = seen.Rows, seen.Broken, pick.fits
	if m.Broken == m.Rows {
		m.Fits = 0 // what was counted are mended rows: enough to say what they are
	}
	m.Misfits = m.Rows - m.Broken - m.Fits
	m.Reasons = append(pick.reasons.sorted(), seen.Reasons...)
	m.Forced = r.want.Format != ""
	for _, c := range r.cands {
		if c == pick || c.fits == 0 {
			continue
		}
		why := "less specific"
		if c.fits*20 < best*19 {
			why = fmt.Sprintf("fits only %d of %d rows", c.fits, m.Rows-m.Broken)
		} else if c.fits > pick.fits {
			why = "needs less: fits " + strconv.Itoa(c.fits)
		}
		m.Others = append(m.Others, Alternative{Kind: c.form.kind, Form: c.form.name, Fits: c.fits, Why: why})
	}
	used := slices.Collect(maps.Values(m.Columns))
	for _, col := range r.topColumns() {
		if !slices.ContainsFunc(used, func(u string) bool { return u == col || strings.HasPrefix(u, col+".") }) {
			m.Unused = append(m.Unused, col)
		}
	}
	r.notes(&m)
	return m, nil
}

// onlyPrompts says whether no other form than prompts alone fits so many rows.
func (r *recogniser) onlyPrompts(best int) bool {
	for _, c := range r.cands {
		if c.form.kind != KindPrompt && c.fits*20 >= best*19 {
			return false
		}
	}
	return true
}

// notes says what a person should know about the reading chosen.
func (r *recogniser) notes(m *Mapping) {
	switch m.Form {
	case "classification":
		sh := r.seen.byPath[m.Columns["label"]]
		if names := classNames(r.file, m.Columns["label"]); names != nil {
			maps.Copy(names, m.Labels) // what was asked for comes first
			m.Labels = names
			m.Notes = append(m.Notes, "the words for the classes are from the file's metadata")
		}
		values := slices.Sorted(maps.Keys(sh.values))
		if m.Labels == nil && len(values) > 0 && isNumber(values[0]) {
			m.Notes = append(m.Notes, fmt.Sprintf("classes are the numbers %s; give them words with --columns label.%s=WORD,...", strings.Join(values, ", "), values[0]))
		}
	case "messages", "sharegpt":
		if slices.Contains(m.Unused, "tools") {
			m.Notes = append(m.Notes, "the column tools is not given to the chat template")
		}
	case "gsm8k":
		if m.Calculator == "" {
			m.Notes = append(m.Notes, "calculator annotations <<a*b=c>> are kept; --columns calculator=strip removes them")
		}
	case "prm800k":
		m.Notes = append(m.Notes, "ratings -1, 0, 1 become rewards 0, 0.5, 1; other rated completions are further records")
	case "math-aps":
		m.Notes = append(m.Notes, "a row holds many solutions: each path is a record when converted")
	}
}
