package lab

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/llm"
	"ftlab/kernel/session"
)

// remote is the store in the device server. A model is kept there under
//
//	models/NAME/about             its record, JSON as bytes
//	models/NAME/GENERATION/PART   its tensors
//
// with slashes in NAME escaped. Each Keep is a generation of its own, bound at once with
// the record that points to it; those before it are dropped afterwards. So whoever binds
// the name while two programs keep it sees one of the two, whole.
type remote struct{ *session.Backend }

const (
	prefix    = "models/"
	aboutName = "about"
)

func place(key string) string { return prefix + url.PathEscape(key) }

func (s remote) has(_ compute.Backend, key string) (bool, error) {
	gens, err := s.generations(key)
	return len(gens) > 0, err
}

func (s remote) get(b compute.Backend, key string) (*llm.Model, error) {
	at := place(key)
	buffers, err := s.Bind(at)
	if err != nil || len(buffers) == 0 {
		return nil, err
	}
	r, err := readRecord(buffers[at+"/"+aboutName])
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w; drop it, and load it again", key, err)
	}
	parts := map[string]*tensors.Tensor{}
	for name, buffer := range buffers {
		p, ok := part(name, at+"/"+r.Gen)
		if !ok {
			buffer.Finalize()
			continue
		}
		if parts[p], err = tensors.FromBuffer(buffer); err != nil {
			return nil, fmt.Errorf("lab: %s: %w", key, err)
		}
	}
	return llm.FromParts(b, r.About, parts, false)
}

func readRecord(b compute.Buffer) (r record, err error) {
	if b == nil {
		return r, errors.New("its description is missing")
	}
	shape, err := b.Shape()
	if err != nil {
		return r, err
	}
	data := make([]byte, shape.Size())
	if err := b.ToFlatData(data); err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

func (s remote) put(b compute.Backend, key string, m *llm.Model) error {
	about, parts, err := m.Parts()
	if err != nil {
		return err
	}
	before, err := s.generations(key)
	if err != nil {
		return err
	}
	at, gen := place(key), rand.Text()[:8]
	data, err := json.Marshal(record{Kept: time.Now(), Gen: gen, About: about})
	if err != nil {
		return err
	}
	description, err := s.BufferFromFlatData(0, data, shapes.Make(dtypes.Uint8, len(data)))
	if err != nil {
		return err
	}
	defer description.Finalize()
	snapshot := map[string]compute.Buffer{at + "/" + aboutName: description}
	for name, t := range parts {
		if snapshot[at+"/"+gen+"/"+name], err = t.Buffer(b, 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := s.Keep(snapshot); err != nil {
		return err
	}
	for _, old := range before {
		if _, err := s.Backend.Drop(at + "/" + old); err != nil {
			return err
		}
	}
	return nil
}

// generations are what is kept of a model besides its description.
func (s remote) generations(key string) (gens []string, err error) {
	kept, err := s.Backend.List()
	if err != nil {
		return nil, err
	}
	for _, k := range kept {
		rest, ok := strings.CutPrefix(k.Name, place(key)+"/")
		gen, _, below := strings.Cut(rest, "/")
		if ok && below && (len(gens) == 0 || gens[len(gens)-1] != gen) { // sorted by name
			gens = append(gens, gen)
		}
	}
	return gens, nil
}

func (s remote) drop(_ compute.Backend, key string) (bool, error) {
	dropped, err := s.Backend.Drop(place(key))
	return len(dropped) > 0, err
}

func (s remote) list(compute.Backend) (Residents, error) {
	kept, err := s.Backend.List()
	if err != nil {
		return nil, err
	}
	var list Residents
	var r record
	for _, k := range kept { // sorted by name
		escaped, rest, ok := strings.Cut(strings.TrimPrefix(k.Name, prefix), "/")
		if !ok || !strings.HasPrefix(k.Name, prefix) {
			continue
		}
		name, err := url.PathUnescape(escaped)
		if err != nil {
			continue // not one of ours
		}
		if len(list) == 0 || list[len(list)-1].Name != name {
			found, err := s.Bind(k.Name[:len(k.Name)-len(rest)] + aboutName)
			if err != nil {
				return nil, err
			}
			about := found[place(name)+"/"+aboutName]
			if r, err = readRecord(about); err != nil {
				continue // dropped in the meantime
			}
			about.Finalize()
			list = append(list, Resident{Name: name, Path: r.path(), Kept: r.Kept})
		}
		if p, ok := part(rest, r.Gen); ok {
			list[len(list)-1].add(p, k.ID, k.Shape)
		}
	}
	return list, nil
}
