package course

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Cell is one cell of a notebook.
type Cell struct {
	Code       bool
	Source     string // without a last line feed
	Parameters bool   // the cell that papermill overrides
	Solution   string // "" for a cell that is no exercise
}

// Parse reads the source of a notebook.
func Parse(text string) ([]Cell, error) {
	var cells []Cell
	var lines []string
	flush := func() {
		if s := strings.Trim(strings.Join(lines, "\n"), "\n"); s != "" {
			cells = append(cells, Cell{Source: s})
		}
		lines = nil
	}
	fence, kind := "", "" // of the block that is open
	var block []string
	for number, line := range strings.Split(text, "\n") {
		switch {
		case fence == "" && strings.HasPrefix(line, "```"):
			fence = "```"
			kind = strings.TrimSpace(strings.TrimPrefix(line, "```"))
			if kind, _, _ = strings.Cut(kind, " "); kind != "go" { // stays text
				lines = append(lines, line)
				break
			}
			kind = strings.TrimSpace(strings.TrimPrefix(line, "```"))
			flush()
			block = nil
		case fence != "" && line == "```":
			if !strings.HasPrefix(kind, "go") {
				lines = append(lines, line)
			} else if err := add(&cells, kind, strings.Join(block, "\n")); err != nil {
				return nil, fmt.Errorf("course: line %d: %w", number+1, err)
			}
			fence = ""
		case fence != "" && strings.HasPrefix(kind, "go"):
			block = append(block, line)
		default:
			if fence == "" && strings.HasPrefix(line, "## ") {
				flush()
			}
			lines = append(lines, line)
		}
	}
	if fence != "" {
		return nil, fmt.Errorf("course: the last block has no end")
	}
	flush()
	return cells, nil
}

func add(cells *[]Cell, kind, source string) error {
	source = strings.Trim(source, "\n")
	switch kind {
	case "go":
		*cells = append(*cells, Cell{Code: true, Source: source})
	case "go parameters":
		*cells = append(*cells, Cell{Code: true, Source: source, Parameters: true})
	case "go solution":
		last := len(*cells) - 1
		if last < 0 || !(*cells)[last].Code || (*cells)[last].Solution != "" {
			return fmt.Errorf("a solution stands right behind its exercise")
		}
		if !strings.Contains((*cells)[last].Source, "\n\n") {
			return fmt.Errorf("the exercise has no empty line behind what is to be solved")
		}
		(*cells)[last].Solution = source
	default:
		return fmt.Errorf("a block of %q is none of go, go parameters, go solution", kind)
	}
	return nil
}

// importing begins a cell of imports. It has no output, and changes none of another cell.
const importing = "import ("

// Hash is of the cells that make outputs, in order: scripts/run_notebook.py computes the same.
func Hash(cells []Cell) string {
	h := sha256.New()
	for _, c := range cells {
		if c.Code && !strings.HasPrefix(c.Source, importing) {
			h.Write([]byte(c.Source))
			h.Write([]byte{0})
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
