package main

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// openIn opens a file to read, "-" for standard input, and says what to call it in errors.
func openIn(cmd *cobra.Command, path string) (in io.Reader, name string, closeIn func(), err error) {
	if path == "-" {
		return cmd.InOrStdin(), "standard input", func() {}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, path, nil, withCode(exitUsage, err)
	}
	return f, path, func() { f.Close() }, nil
}

// openOut opens a file to write, "" or "-" for standard output. It appears only when
// finish is called with no error: half a file is never left under its name.
func openOut(cmd *cobra.Command, path string) (out io.Writer, finish func(error) error, err error) {
	if path == "" || path == "-" {
		return cmd.OutOrStdout(), func(err error) error { return err }, nil
	}
	f, err := os.Create(path + ".partial")
	if err != nil {
		return nil, nil, withCode(exitUsage, err)
	}
	return f, func(err error) error {
		if err = errors.Join(err, f.Close()); err != nil {
			return errors.Join(err, os.Remove(f.Name()))
		}
		return os.Rename(f.Name(), path)
	}, nil
}

// writeNew writes a file that is not there yet. What goes wrong leaves none.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return withCode(exitUsage, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
