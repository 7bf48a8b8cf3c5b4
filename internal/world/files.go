package world

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
)

// WriteDatasets writes every data set below a folder as
// NAME/train.parquet and NAME/validation.parquet, and README.md with what is in
// them. Files that are there are replaced.
func (w *World) WriteDatasets(dir string) error {
	var readme readme
	err := errors.Join(
		write(dir, &readme, "reviews", w.Reviews()),
		write(dir, &readme, "chat", w.Chat()),
		write(dir, &readme, "preferences", w.Preferences()),
		write(dir, &readme, "math", w.Math()),
		write(dir, &readme, "steps", w.Steps()),
		write(dir, &readme, "code", w.Code()),
	)
	if err != nil {
		return err
	}
	text, err := readme.text(w)
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, "README.md"), text)
}

func write[T any](dir string, r *readme, name string, split Split[T]) error {
	if err := r.add(name, len(split.Train), len(split.Validation), split.Train[0]); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
		return fmt.Errorf("world: %w", err)
	}
	for part, rows := range map[string][]T{"train": split.Train, "validation": split.Validation} {
		path := filepath.Join(dir, name, part+".parquet")
		data, err := encode(rows)
		if err != nil {
			return fmt.Errorf("world: %s: %w", path, err)
		}
		if err := replace(path, data); err != nil {
			return err
		}
	}
	return nil
}

// encode is the rows as a parquet file. The same rows give the same bytes.
func encode[T any](rows []T) ([]byte, error) {
	var buf bytes.Buffer
	// The library's own mark in the file has its build in it, which differs.
	w := parquet.NewGenericWriter[T](&buf, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("ftlab/internal/world", "1", "world"))
	if _, err := w.Write(rows); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// replace writes a file whole or not at all.
func replace(path string, data []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return fmt.Errorf("world: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("world: %w", err)
	}
	return nil
}
