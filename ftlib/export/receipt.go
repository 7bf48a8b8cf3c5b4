package export

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"time"
)

// ReceiptFile is the name of the receipt in a directory.
const ReceiptFile = "receipt.json"

// Receipt says what an artefact was made from, and what it is.
type Receipt struct {
	Made     time.Time         `json:"made"`
	Command  []string          `json:"command,omitempty"`
	Versions map[string]string `json:"versions,omitempty"`
	Base     *Stamp            `json:"base,omitempty"`
	Adapters []Stamp           `json:"adapters,omitempty"`
	Run      *Stamp            `json:"run,omitempty"`  // run.yaml of the run that trained it
	Data     json.RawMessage   `json:"data,omitempty"` // what the run read, with hashes, as in its env.json
	Seed     int64             `json:"seed,omitempty"`
	Template string            `json:"template_sha256,omitempty"`
	Token    string            `json:"tokenizer_sha256,omitempty"`
	Verified *Checked          `json:"verified,omitempty"`
	Files    []Hash            `json:"files"`
}

// Stamp names a directory or file that something was made from.
type Stamp struct {
	Path  string `json:"path"`
	Files []Hash `json:"files"`
}

// Hash is a file as it was.
type Hash struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// StampOf hashes a file, or the files of a directory that are part of a model, an adapter
// or an artefact: not what lies below it.
func StampOf(path string) (*Stamp, error) {
	s := &Stamp{Path: path}
	if abs, err := filepath.Abs(path); err == nil {
		s.Path = abs
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if !info.IsDir() {
		h, err := hashOf(path)
		s.Files = []Hash{h}
		return s, err
	}
	s.Files, err = hashes(path)
	return s, err
}

func hashes(dir string) ([]Hash, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	var all []Hash
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil || !info.Mode().IsRegular() || e.Name() == ReceiptFile {
			continue
		}
		h, err := hashOf(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, nil
}

func hashOf(path string) (Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return Hash{}, fmt.Errorf("export: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return Hash{}, fmt.Errorf("export: %w", err)
	}
	return Hash{filepath.Base(path), n, hex.EncodeToString(h.Sum(nil))}, nil
}

// TextHash is the hash of a text, as receipts hold it; "" of none.
func TextHash(text string) string {
	if text == "" {
		return ""
	}
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// seal writes the receipt of a finished directory into it.
func (r Receipt) seal(dir string) error {
	if r.Made.IsZero() {
		r.Made = time.Now().UTC().Truncate(time.Second)
	}
	if r.Versions == nil {
		r.Versions = map[string]string{}
	}
	r.Versions["go"] = runtime.Version()
	var err error
	if r.Files, err = hashes(dir); err != nil {
		return err
	}
	return putJSON(filepath.Join(dir, ReceiptFile), r)
}

// Seal writes a receipt into a directory that something else wrote.
func Seal(dir string, r Receipt) error { return r.seal(dir) }

func putJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return put(path, append(data, '\n'))
}

// ReadReceipt reads the receipt of a directory.
func ReadReceipt(dir string) (Receipt, error) {
	var r Receipt
	data, err := os.ReadFile(filepath.Join(dir, ReceiptFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("export: %s has no %s: it was not written by an export, or was taken out of one: %w", dir, ReceiptFile, fs.ErrNotExist)
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return r, fmt.Errorf("export: %s: %w", filepath.Join(dir, ReceiptFile), err)
	}
	return r, nil
}

// Check compares a directory with its receipt, and with what it was made from where that
// is still there. problems are differences of the directory itself; notes are of its
// sources.
func Check(dir string) (r Receipt, problems, notes []string, err error) {
	if r, err = ReadReceipt(dir); err != nil {
		return r, nil, nil, err
	}
	problems = compare(dir, r.Files, true)
	for _, s := range append(list(r.Base, r.Run), r.Adapters...) {
		if info, err := os.Stat(s.Path); err != nil {
			notes = append(notes, s.Path+", which it was made from, is not here")
			continue
		} else if !info.IsDir() {
			notes = append(notes, compare(filepath.Dir(s.Path), s.Files, false)...)
			continue
		}
		notes = append(notes, compare(s.Path, s.Files, false)...)
	}
	return r, problems, notes, nil
}

func list(stamps ...*Stamp) (out []Stamp) {
	for _, s := range stamps {
		if s != nil {
			out = append(out, *s)
		}
	}
	return out
}

// compare says what of the files is not as it was; all: and which files are new.
func compare(dir string, want []Hash, all bool) (wrong []string) {
	known := map[string]bool{ReceiptFile: true}
	for _, w := range want {
		known[w.Name] = true
		path := filepath.Join(dir, w.Name)
		h, err := hashOf(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			wrong = append(wrong, path+" is missing")
		case err != nil:
			wrong = append(wrong, err.Error())
		case h.Size != w.Size:
			wrong = append(wrong, fmt.Sprintf("%s has %d bytes, had %d", path, h.Size, w.Size))
		case h.SHA256 != w.SHA256:
			wrong = append(wrong, path+" has changed")
		}
	}
	if !all {
		return wrong
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !known[e.Name()] {
			wrong = append(wrong, filepath.Join(dir, e.Name())+" is not in the receipt")
		}
	}
	return wrong
}
