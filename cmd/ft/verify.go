package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"ftlab/ftlib/verify"
)

func init() { commands = append(commands, verifyCmd) }

func verifyCmd() *cobra.Command {
	var kind, in, out string
	var code codeFlags
	cmd := &cobra.Command{
		Use:   "verify --kind gsm8k|math|numeric|code --in ROWS.jsonl [--out OUT.jsonl]",
		Short: "Say which solutions come to the right answer",
		Long: `Every line of ROWS.jsonl holds a reference and a solution:

  {"answer": "72", "response": "48/2 = 24, 48+24 = 72\n#### 72"}

The answer may be the bare answer or a whole solution. Every line of the output, in the
same order, says whether they agree and what the response's final answer is (null where
it has none):

  {"correct": true, "extracted": "72"}

A final answer stands behind "####", in \boxed{}, on a line "A: ...", behind "the answer
is"; without any of these it is the last mathematics or the last number.

  gsm8k     one number, compared exactly: 72, 72.0, $72 and 72 clips are one
  math      LaTeX, as Hendrycks' MATH compares it and beyond that by value: fractions,
            roots, sets, intervals, matrices, equations, texts, choices
  numeric   any expression with a value, within a relative tolerance of 1e-6

  code      a program in Python or Go, run in a sandbox against tests:

  {"response": "def add(a, b): return a + b", "tests": "assert add(1, 2) == 3"}
  {"response": "print(input())", "tests": [{"stdin": "a", "stdout": "a"}]}
  {"response": "...", "tests": "func TestAdd(t *testing.T) ...", "language": "go"}

The program is the last fenced block of the response, or all of it. "prompt" stands in
front of it where it does not define "entry_point"; with an entry point the tests end in
check(ENTRY_POINT), as HumanEval's do. The output says why a program fails: "reason" is
compile, wrong output, exit, signal, timeout, memory, file size, output or processes,
and "detail" says it in words. Without namespaces nothing is run, unless --unsafe.

A line that is not understood is an error that names it, and nothing is written.`,
		Example: `  ft verify --kind gsm8k --in rows.jsonl --out out.jsonl
  ft verify --kind math --in - < rows.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var k verify.Kind
			var err error
			if kind != "code" {
				if k, err = verify.ParseKind(kind); err != nil {
					return usageErrorf("--kind: %w, or code", err)
				}
			}
			r, name, closeIn, err := openIn(cmd, in)
			if err != nil {
				return err
			}
			defer closeIn()
			var lines [][]byte
			if kind == "code" {
				lines, err = code.lines(cmd.Context(), r, name)
			} else {
				lines, err = verifyLines(k, r, name)
			}
			if err != nil {
				return err
			}
			w, finish, err := openOut(cmd, out)
			if err != nil {
				return err
			}
			_, err = w.Write(bytes.Join(lines, nil))
			return finish(err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "", "how answers are found and compared: gsm8k, math or numeric, or code")
	f.StringVar(&in, "in", "", `the rows, a JSON Lines file ("-": standard input)`)
	f.StringVar(&out, "out", "-", `the verdicts ("-": standard output)`)
	f.DurationVar(&code.wall, "time", 0, "code: wall-clock time of a program (default 10s)")
	f.IntVar(&code.mib, "memory", 0, "code: memory of a program in MiB (default 512)")
	f.BoolVar(&code.unsafe, "unsafe", false, "code: run without a sandbox where none can be had")
	for _, name := range []string{"kind", "in"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}

// verifyRow is one line of the input of ft verify.
type verifyRow struct {
	Answer, Response string
}

// verified is one line of its output.
type verified struct {
	Correct   bool    `json:"correct"`
	Extracted *string `json:"extracted"`
}

func orNull(s string, ok bool) *string {
	if !ok {
		return nil
	}
	return &s
}

func verifyLines(kind verify.Kind, r io.Reader, name string) ([][]byte, error) {
	rows, err := readRows(r, name, parseVerifyRow)
	if err != nil {
		return nil, err
	}
	return judgeRows(rows, func(row verifyRow) (any, error) {
		v := verify.Check(kind, row.Answer, row.Response)
		return verified{Correct: v.Correct, Extracted: orNull(v.Extracted, v.Found)}, nil
	})
}

// readRows reads all lines; an error names the first that is wrong. Blank lines at the
// end are none.
func readRows[T any](r io.Reader, name string, parse func([]byte) (T, error)) ([]T, error) {
	in := bufio.NewReader(r)
	var rows []T
	blank := 0
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\ufeff"))); len(line) > 0 {
			if blank > 0 {
				return nil, usageErrorf("%s line %d: empty; every line is one row", name, blank)
			}
			row, bad := parse(line)
			if bad != nil {
				return nil, usageErrorf("%s line %d: %w", name, n, bad)
			}
			rows = append(rows, row)
		} else if err == nil && blank == 0 {
			blank = n
		}
		if err == io.EOF {
			return rows, nil
		}
	}
}

func parseVerifyRow(line []byte) (row verifyRow, err error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return row, fmt.Errorf(`%w; a row is {"answer": ..., "response": ...}`, err)
	}
	if row.Answer, err = textOf(raw, "answer", true); err != nil {
		return row, err
	}
	row.Response, err = textOf(raw, "response", false)
	return row, err
}

// textOf is a text field of a row; a number may stand for its digits where asked.
func textOf(raw map[string]json.RawMessage, field string, number bool) (string, error) {
	v, ok := raw[field]
	if !ok {
		return "", fmt.Errorf("no %q; a row is {\"answer\": ..., \"response\": ...}", field)
	}
	var s string
	if err := json.Unmarshal(v, &s); err == nil && string(v) != "null" {
		return s, nil
	}
	var n json.Number
	if err := json.Unmarshal(v, &n); err == nil && number && string(v) != "null" {
		return n.String(), nil
	}
	return "", errors.New(`"` + field + `" is not a text`)
}

// judgeRows judges all rows, on all cores, and keeps their order. It ends at the first
// error.
func judgeRows[T any](rows []T, judge func(T) (any, error)) ([][]byte, error) {
	lines := make([][]byte, len(rows))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, row := range rows {
		group.Go(func() error {
			v, err := judge(row)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			err = enc.Encode(v)
			lines[i] = b.Bytes()
			return err
		})
	}
	return lines, group.Wait()
}
