package course

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Notebook is an .ipynb file, as far as the course looks at it.
type Notebook struct {
	Cells    []NotebookCell `json:"cells"`
	Metadata Metadata       `json:"metadata"`
	Format   int            `json:"nbformat"`
	Minor    int            `json:"nbformat_minor"`
}

// Metadata is of a whole notebook.
type Metadata struct {
	FTLab    *Executed       `json:"ftlab,omitempty"` // nil: not executed
	Kernel   json.RawMessage `json:"kernelspec"`
	Language json.RawMessage `json:"language_info"`
}

// Executed says of which cells the outputs are.
type Executed struct {
	Hash    string `json:"executed"` // see [Hash]
	Profile string `json:"profile"`
}

// NotebookCell is a cell of a file.
type NotebookCell struct {
	Type     string            `json:"cell_type"`
	Count    *int              `json:"execution_count"`
	ID       string            `json:"id"`
	Metadata CellMetadata      `json:"metadata"`
	Outputs  []json.RawMessage `json:"outputs"`
	Source   text              `json:"source"`
}

// CellMetadata is of one cell.
type CellMetadata struct {
	Tags  []string  `json:"tags,omitempty"`
	FTLab *Exercise `json:"ftlab,omitempty"`
}

// Exercise is a cell with something to solve.
type Exercise struct {
	Solution string `json:"solution"`
}

// text is a string, or a list of its lines.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var lines []string
	if err := json.Unmarshal(data, &lines); err == nil {
		*t = text(strings.Join(lines, ""))
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

func (t text) MarshalJSON() ([]byte, error) {
	return encode(strings.SplitAfter(string(t), "\n"))
}

// MarshalJSON leaves out of a cell of text what only a cell of code has.
func (c NotebookCell) MarshalJSON() ([]byte, error) {
	if c.Type != "code" {
		return encode(struct {
			Type     string       `json:"cell_type"`
			ID       string       `json:"id"`
			Metadata CellMetadata `json:"metadata"`
			Source   text         `json:"source"`
		}{c.Type, c.ID, c.Metadata, c.Source})
	}
	type plain NotebookCell
	if c.Outputs == nil {
		c.Outputs = []json.RawMessage{}
	}
	return encode(plain(c))
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Read reads a notebook; one that is not there has no cells.
func Read(path string) (Notebook, error) {
	var n Notebook
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	if err != nil {
		return n, fmt.Errorf("course: %w", err)
	}
	return n, nil
}

// Build is the notebook of these cells, with the outputs of old where they are of the same
// cells.
func Build(cells []Cell, old Notebook) Notebook {
	n := Notebook{Format: 4, Minor: 5, Metadata: Metadata{
		Kernel:   json.RawMessage(`{"display_name":"FTLab (Go)","language":"go","name":"ftlab"}`),
		Language: json.RawMessage(`{"file_extension":".go","mimetype":"text/x-go","name":"go"}`),
	}}
	kept := [][]json.RawMessage{}
	if x := old.Metadata.FTLab; x != nil && x.Hash == Hash(cells) && x.Hash == Hash(old.cells()) {
		n.Metadata.FTLab = x
		for _, c := range old.Cells {
			if c.Type == "code" {
				kept = append(kept, c.Outputs)
			}
		}
	}
	code := 0
	for i, c := range cells {
		out := NotebookCell{Type: "markdown", ID: fmt.Sprintf("c%02d", i), Source: text(c.Source)}
		if c.Code {
			out.Type = "code"
			if c.Parameters {
				out.Metadata.Tags = []string{"parameters"}
			}
			if c.Solution != "" {
				out.Metadata.FTLab = &Exercise{c.Solution}
			}
			if code < len(kept) {
				number := code + 1
				out.Count, out.Outputs = &number, kept[code]
			}
			code++
		}
		n.Cells = append(n.Cells, out)
	}
	return n
}

func (n Notebook) cells() []Cell {
	var out []Cell
	for _, c := range n.Cells {
		x := Cell{Code: c.Type == "code", Source: string(c.Source)}
		for _, tag := range c.Metadata.Tags {
			x.Parameters = x.Parameters || tag == "parameters"
		}
		if c.Metadata.FTLab != nil {
			x.Solution = c.Metadata.FTLab.Solution
		}
		out = append(out, x)
	}
	return out
}

// Make writes the notebooks of dir whose sources are in dir/source; names choose some.
func Make(dir string, names ...string) error {
	if len(names) == 0 {
		paths, err := filepath.Glob(filepath.Join(dir, "source", "*.md"))
		if err != nil {
			return err
		}
		for _, p := range paths {
			names = append(names, strings.TrimSuffix(filepath.Base(p), ".md"))
		}
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, "source", name+".md"))
		if err != nil {
			return fmt.Errorf("course: %w", err)
		}
		cells, err := Parse(string(data))
		if err != nil {
			return fmt.Errorf("%s.md: %w", name, err)
		}
		path := filepath.Join(dir, name+".ipynb")
		old, err := Read(path)
		if err != nil {
			return err
		}
		raw, err := encode(Build(cells, old))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", " "); err != nil {
			return err
		}
		b.WriteByte('\n')
		if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, b.Bytes()) {
			continue
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("course: %w", err)
		}
	}
	return nil
}

// Stale says what of a notebook is not what its source makes of it, or not of its cells.
func Stale(source string, n Notebook) error {
	want, err := Parse(source)
	if err != nil {
		return err
	}
	have := n.cells()
	if len(want) != len(have) {
		return fmt.Errorf("it has %d cells, its source %d: run scripts/notebooks", len(have), len(want))
	}
	for i := range want {
		if want[i] != have[i] {
			return fmt.Errorf("cell %d is not what its source has: run scripts/notebooks", i+1)
		}
	}
	switch x := n.Metadata.FTLab; {
	case x == nil:
		return errors.New("it has not been executed: run scripts/notebooks")
	case x.Hash != Hash(want):
		return errors.New("its outputs are of other cells: run scripts/notebooks")
	case x.Profile != "classroom":
		return fmt.Errorf("its outputs are of the profile %q: run scripts/notebooks", x.Profile)
	}
	return nil
}
