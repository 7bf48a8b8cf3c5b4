package llm

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
)

// baseFile lies beside an adapter and says which weights it was trained on.
const baseFile = "base.json"

type baseNote struct {
	Path string `json:"path"`
	Sum  string `json:"sampled_sha256"` // of the weight files: sizes, first and last MiB

	// Of the weights that these were quantised from: an adapter of the ones fits the others.
	Origin string `json:"quantized_from_sampled_sha256,omitempty"`
}

// originOf is the fingerprint of the weights that a quantised model was made from, as
// [QuantizeFiles] wrote it beside them; "" where that is not known.
func (m *Model) originOf() string {
	if len(m.packs) == 0 || m.Path == "" {
		return ""
	}
	var n baseNote
	if data, err := os.ReadFile(filepath.Join(m.Path, baseFile)); err != nil || json.Unmarshal(data, &n) != nil {
		return ""
	}
	return n.Origin
}

// write writes a note.
func (n baseNote) write(dir string) error {
	data, err := json.MarshalIndent(n, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, baseFile), append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("llm: %w", err)
	}
	return nil
}

// fingerprint is a hash of weight files that is soon computed: their sizes, and the first
// and last MiB of each. "" when they are not what they were, or there are none.
func fingerprint(files []File) string {
	h := sha256.New()
	n := 0
	for _, f := range files {
		if filepath.Ext(f.Path) == ".json" {
			continue
		}
		in, err := os.Open(f.Path)
		if err != nil {
			return ""
		}
		info, err := in.Stat()
		if err == nil && (info.Size() != f.Size || !info.ModTime().Equal(f.Time)) {
			err = errors.New("it has changed")
		}
		if err == nil {
			fmt.Fprintln(h, filepath.Base(f.Path), f.Size)
			_, err = io.Copy(h, io.NewSectionReader(in, 0, 1<<20))
		}
		if err == nil {
			_, err = io.Copy(h, io.NewSectionReader(in, max(0, f.Size-1<<20), 1<<20))
		}
		in.Close()
		if err != nil {
			return ""
		}
		n++
	}
	if n == 0 {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// baseOf are the files of the weights that an adapter made now belongs to.
func (m *Model) baseOf() []File {
	if m.changed {
		return nil // weights that no file holds
	}
	return m.files
}

// noteBase writes which weights the adapter belongs to, where that is known.
func (a *Adapter) noteBase(dir, base string) error {
	sum := fingerprint(a.files)
	if sum == "" {
		return nil
	}
	return baseNote{Path: base, Sum: sum, Origin: a.origin}.write(dir)
}

// checkBase refuses an adapter that says it was trained on other weights of the same shape.
func (m *Model) checkBase(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, baseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // PEFT writes none
	}
	var n baseNote
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	if err != nil {
		return fmt.Errorf("llm: %s: %w", filepath.Join(dir, baseFile), err)
	}
	have := fingerprint(m.baseOf())
	for _, theirs := range []string{n.Sum, n.Origin} {
		if theirs != "" && (theirs == have || theirs == m.originOf()) {
			return nil
		}
	}
	if n.Sum == "" || have == "" {
		return nil
	}
	return fmt.Errorf("llm: the adapter in %s was trained on other weights than those of %s: on %s. Load it with that model; if these are the same weights in another form, delete %s",
		dir, m.Path, n.Path, filepath.Join(dir, baseFile))
}
