package ckpt

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"time"
)

const envFile = "env.json"

// Env is what a run depends on besides its specification.
type Env struct {
	Created  time.Time         `json:"created"`
	Version  string            `json:"version"` // of FTLab: module version or revision
	Go       string            `json:"go"`
	Platform string            `json:"platform"` // "linux/amd64"
	CPUs     int               `json:"cpus"`
	Modules  map[string]string `json:"modules,omitempty"` // the libraries that compute
	Backend  string            `json:"backend,omitempty"` // what computed
	Args     []string          `json:"args,omitempty"`    // command line
	Folder   string            `json:"folder,omitempty"`  // that paths of the specification are relative to
	Data     map[string]any    `json:"data,omitempty"`    // what was recognised: kind, rows, refused, split
	Inputs   []Input           `json:"inputs,omitempty"`
}

// Input is a file that a run read.
type Input struct {
	Role string `json:"role"` // "train", "validation", "model", "tokenizer", "template"
	Path string `json:"path"`
	Size int64  `json:"size"`
	Hash string `json:"hash"` // "sha256:..." of the content, "sampled-sha256:..." for files above 256 MiB
}

// NewEnv describes this program and machine.
func NewEnv() Env {
	env := Env{
		Created: time.Now().UTC().Truncate(time.Second), Version: "unknown", Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Args: slices.Clone(os.Args),
	}
	env.Folder, _ = os.Getwd()
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return env
	}
	env.Version = info.Main.Version
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			env.Version = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			env.Version += "+changes"
		}
	}
	for _, m := range info.Deps {
		for _, name := range []string{"gomlx/gomlx", "gomlx/compute", "gomlx/go-xla", "parquet-go/parquet-go", "nikolalohinski/gonja/v2"} {
			if strings.HasSuffix(m.Path, name) {
				if env.Modules == nil {
					env.Modules = map[string]string{}
				}
				env.Modules[m.Path] = m.Version
			}
		}
	}
	return env
}

// ReadEnv reads env.json of a run.
func ReadEnv(dir string) (Env, error) {
	var env Env
	data, err := os.ReadFile(filepath.Join(dir, envFile))
	if err != nil {
		return env, fmt.Errorf("ckpt: %w", err)
	}
	if err := json.Unmarshal(data, &env); err != nil {
		return env, fmt.Errorf("ckpt: %s: %w", filepath.Join(dir, envFile), err)
	}
	return env, nil
}

const (
	wholeLimit  = 256 << 20 // bytes: larger files are sampled
	sampleBlock = 1 << 20
	samples     = 64
)

// HashFile describes a file. Files above 256 MiB are hashed by their size and 64
// blocks of 1 MiB spread over them, ends included: reading all of a large model
// would take longer than many runs.
func HashFile(role, path string) (Input, error) {
	in := Input{Role: role, Path: path}
	f, err := os.Open(path)
	if err != nil {
		return in, fmt.Errorf("ckpt: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return in, fmt.Errorf("ckpt: %w", err)
	}
	in.Size = info.Size()
	in.Hash, err = hash(f, in.Size, wholeLimit)
	if err != nil {
		return in, fmt.Errorf("ckpt: %s: %w", path, err)
	}
	return in, nil
}

func hash(r io.ReaderAt, size, limit int64) (string, error) {
	h, prefix := sha256.New(), "sha256:"
	if size <= limit {
		if _, err := io.Copy(h, io.NewSectionReader(r, 0, size)); err != nil {
			return "", err
		}
	} else {
		prefix = "sampled-sha256:"
		fmt.Fprintln(h, size)
		block := min(sampleBlock, size)
		for i := range int64(samples) {
			at := (size - block) / (samples - 1) * i
			if i == samples-1 {
				at = size - block
			}
			if _, err := io.Copy(h, io.NewSectionReader(r, at, block)); err != nil {
				return "", err
			}
		}
	}
	return prefix + hex.EncodeToString(h.Sum(nil)), nil
}

// HashInputs describes files, and in directories the files that make a model or a
// tokenizer what it is.
func HashInputs(role string, paths ...string) ([]Input, error) {
	var inputs []Input
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("ckpt: %w", err)
		}
		files := []string{path}
		if info.IsDir() {
			files = nil
			entries, err := os.ReadDir(path)
			if err != nil {
				return nil, fmt.Errorf("ckpt: %w", err)
			}
			for _, e := range entries {
				switch filepath.Ext(e.Name()) {
				case ".safetensors", ".json", ".bin", ".model", ".jinja", ".txt":
					if !e.IsDir() {
						files = append(files, filepath.Join(path, e.Name()))
					}
				}
			}
			sort.Strings(files)
		}
		for _, f := range files {
			in, err := HashFile(role, f)
			if err != nil {
				return nil, err
			}
			inputs = append(inputs, in)
		}
	}
	return inputs, nil
}

// Changed compares what a run read with what is there now, and names every input
// that is not the same.
func (e Env) Changed(now []Input) error {
	type key struct{ role, path string }
	have := map[key]Input{}
	for _, in := range now {
		have[key{in.Role, in.Path}] = in
	}
	var errs []error
	for _, was := range e.Inputs {
		is, ok := have[key{was.Role, was.Path}]
		delete(have, key{was.Role, was.Path})
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("ckpt: %s %s was read when the run began and is not read now", was.Role, was.Path))
		case is.Hash != was.Hash:
			errs = append(errs, fmt.Errorf("ckpt: %s %s has changed since the run began (%d bytes then, %d now)", was.Role, was.Path, was.Size, is.Size))
		}
	}
	for k := range have {
		errs = append(errs, fmt.Errorf("ckpt: %s %s was not there when the run began", k.role, k.path))
	}
	return errors.Join(errs...)
}
