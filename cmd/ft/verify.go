package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/spf13/cobra"

	"ftlab/ftlib/verify"
)

func init() { commands = append(commands, verifyCmd) }

func verifyCmd() *cobra.Command {
	var kind, in, out string
	cmd := &cobra.Command{
		Use:   "verify --kind gsm8k|math|numeric --in ROWS.jsonl [--out OUT.jsonl]",
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

A line that is not understood is an error that names it, and nothing is written.`,
		Example: `  ft verify --kind gsm8k --in rows.jsonl --out out.jsonl
  ft verify --kind math --in - < rows.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := verify.ParseKind(kind)
			if err != nil {
				return usageErrorf("--kind: %w", err)
			}
			r, name, closeIn, err := openIn(cmd, in)
			if err != nil {
				return err
			}
			defer closeIn()
			rows, err := readVerifyRows(r, name)
			if err != nil {
				return err
			}
			lines := verifyRows(rows, func(row verifyRow) any {
				v := verify.Check(k, row.Answer, row.Response)
				return verified{Correct: v.Correct, Extracted: orNull(v.Extracted, v.Found)}
			})
			w, finish, err := openOut(cmd, out)
			if err != nil {
				return err
			}
			_, err = w.Write(bytes.Join(lines, nil))
			return finish(err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "", "how answers are found and compared: gsm8k, math or numeric")
	f.StringVar(&in, "in", "", `the rows, a JSON Lines file ("-": standard input)`)
	f.StringVar(&out, "out", "-", `the verdicts ("-": standard output)`)
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

// readVerifyRows reads all lines; an error names the first that is wrong. Blank lines
// at the end are none.
func readVerifyRows(r io.Reader, name string) ([]verifyRow, error) {
	in := bufio.NewReader(r)
	var rows []verifyRow
	blank := 0
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		switch trimmed := bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\ufeff"))); {
		case len(trimmed) == 0 && err == io.EOF:
			return rows, nil
		case len(trimmed) == 0:
			blank = n
		default:
			if blank > 0 {
				return nil, usageErrorf("%s line %d: empty; every line is one row", name, blank)
			}
			row, bad := parseVerifyRow(trimmed)
			if bad != nil {
				return nil, usageErrorf("%s line %d: %w", name, n, bad)
			}
			rows = append(rows, row)
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

// verifyRows judges all rows, on all cores, and keeps their order.
func verifyRows(rows []verifyRow, judge func(verifyRow) any) [][]byte {
	lines := make([][]byte, len(rows))
	var wait sync.WaitGroup
	work := make(chan int)
	for range min(runtime.GOMAXPROCS(0), len(rows)) {
		wait.Go(func() {
			for i := range work {
				var b bytes.Buffer
				enc := json.NewEncoder(&b)
				enc.SetEscapeHTML(false)
				if err := enc.Encode(judge(rows[i])); err != nil {
					panic(err) // a verdict is plain data
				}
				lines[i] = b.Bytes()
			}
		})
	}
	for i := range rows {
		work <- i
	}
	close(work)
	wait.Wait()
	return lines
}
