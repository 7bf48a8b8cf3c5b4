//go:build ftlab_session

package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os/exec"
	"strings"
)

// In a cell the ft program does what needs large libraries: parquet and the network. A
// cell is linked at every change, and would be a third slower for it.

// Program is the ft program, which the kernel has in its PATH.
const program = "ft"

// helper is a call of the ft program.
func helper(args ...string) (*exec.Cmd, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("corpus: cells read and write parquet files and the hub with the program ft, which is not in the PATH: run scripts/lab --setup, or build without -tags ftlab_session")
	}
	return exec.Command(path, append([]string{"data", "rows"}, args...)...), nil
}

// said is what a program that failed wrote, else its error.
func said(err error, stderr *bytes.Buffer) error {
	if text := strings.TrimSpace(stderr.String()); text != "" {
		return errors.New(strings.TrimPrefix(text, "ft: "))
	}
	return err
}

func readParquet(path string, yield yieldFunc) {
	cmd, err := helper("read", path)
	if err != nil {
		yield(Row{File: path}, fileError(path, "cannot be opened", err, ""))
		return
	}
	out, err := cmd.StdoutPipe()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		yield(Row{File: path}, fileError(path, "cannot be opened", err, ""))
		return
	}
	defer func() {
		out.Close() // ends a program that is not read to its end
		_ = cmd.Wait()
	}()
	for row, err := range DecodeRows(out) {
		if err != nil {
			if _, ok := errors.AsType[*RowError](err); !ok {
				_ = cmd.Wait()
				err = fileError(path, "cannot be read", said(err, &stderr), "")
			}
		}
		if !yield(row, err) {
			return
		}
	}
}

func writeParquet(path string, rows iter.Seq2[Row, error]) error {
	cmd, err := helper("write", path)
	if err != nil {
		return err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return fileError(path, "cannot be written", err, "")
	}
	var bad error
	write := EncodeRows(in, func(yield func(Row, error) bool) {
		for row, err := range rows {
			if err != nil {
				bad = err // ends the writing, as it does everywhere: nothing appears
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	})
	if bad != nil {
		_ = cmd.Process.Kill() // before it has seen the end
		_ = cmd.Wait()
		return bad
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		return said(err, &stderr)
	}
	return write
}

func classNames(path, column string) map[string]string {
	cmd, err := helper("classes", path, column)
	if err != nil {
		return nil
	}
	out, err := cmd.Output()
	var names map[string]string
	if err != nil || json.Unmarshal(out, &names) != nil {
		return nil
	}
	return names
}

func download(name, revision, cache string) error { return fetch("dataset", name, revision, cache) }

// FetchModel lets the ft program download a model into the hub's cache.
func FetchModel(name, revision, cache string) error { return fetch("model", name, revision, cache) }

func fetch(kind, name, revision, cache string) error {
	cmd, err := helper("fetch", kind, name, revision, cache)
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &stderr
	if err := cmd.Run(); err != nil {
		return said(err, &stderr)
	}
	return nil
}
