package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"ftlab/ftlib/sandbox"
)

// codeFlags are what ft verify --kind code adds.
type codeFlags struct {
	wall   time.Duration
	mib    int
	unsafe bool
}

// codeRow is one line of its input.
type codeRow struct {
	code  string
	tests sandbox.Tests
}

// codeVerdict is one line of its output.
type codeVerdict struct {
	Correct   bool    `json:"correct"`
	Extracted *string `json:"extracted"`
	Reason    string  `json:"reason,omitempty"`
	Detail    string  `json:"detail,omitempty"`
}

func parseCodeRow(line []byte) (row codeRow, err error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return row, fmt.Errorf(`%w; a row is {"response": ..., "tests": ...}`, err)
	}
	text := map[string]string{}
	for _, field := range []string{"response", "prompt", "entry_point", "language"} {
		if v, ok := raw[field]; ok && json.Unmarshal(v, new(string)) != nil || !ok && field == "response" {
			return row, fmt.Errorf(`%q is not a text; a row is {"response": ..., "tests": ...}`, field)
		} else if ok {
			var s string
			json.Unmarshal(v, &s)
			text[field] = s
		}
	}
	tests, ok := raw["tests"]
	if !ok {
		tests, ok = raw["answer"]
	}
	if !ok {
		return row, errors.New(`no "tests": code, or a list of {"stdin": ..., "stdout": ...}`)
	}
	if json.Unmarshal(tests, &row.tests.Check) != nil && json.Unmarshal(tests, &row.tests.Cases) != nil {
		return row, errors.New(`"tests" is neither code nor a list of {"stdin": ..., "stdout": ...}`)
	}
	if strings.TrimSpace(row.tests.Check) == "" && len(row.tests.Cases) == 0 {
		return row, errors.New(`"tests" is empty`)
	}
	row.tests.Language = sandbox.Language(text["language"])
	switch row.tests.Language {
	case "", sandbox.Python, sandbox.Go:
	default:
		return row, fmt.Errorf("unknown language %q: python or go", row.tests.Language)
	}
	row.code = sandbox.Code(row.tests.Language, text["response"])
	entry := text["entry_point"]
	if prompt := text["prompt"]; prompt != "" && (entry == "" || !strings.Contains(row.code, "def "+entry+"(")) {
		row.code = prompt + row.code
	}
	if entry != "" && row.tests.Check != "" {
		row.tests.Check += "\ncheck(" + entry + ")\n"
	}
	return row, nil
}

func (f codeFlags) lines(ctx context.Context, r io.Reader, name string) ([][]byte, error) {
	rows, err := readRows(r, name, parseCodeRow)
	if err != nil {
		return nil, err
	}
	o := sandbox.Options{Limits: sandbox.Limits{Wall: f.wall, Memory: int64(f.mib) << 20}, Unsafe: f.unsafe}
	return judgeRows(rows, func(row codeRow) (any, error) {
		v, err := sandbox.Judge(ctx, row.code, row.tests, o)
		out := codeVerdict{Correct: v.Passed, Extracted: &row.code, Detail: v.Reason}
		if !v.Passed {
			out.Reason = string(v.Outcome)
		}
		return out, err
	})
}
