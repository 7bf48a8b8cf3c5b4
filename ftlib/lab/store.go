package lab

import (
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/llm"
	"ftlab/kernel/session"
)

// store is where models are resident.
type store interface {
	get(b compute.Backend, key string) (*llm.Model, error) // nil: none
	has(b compute.Backend, key string) (bool, error)
	put(b compute.Backend, key string, m *llm.Model) error
	drop(b compute.Backend, key string) (bool, error)
	list(b compute.Backend) (Residents, error)
}

// storeOf is the server that a backend computes in, or this process.
func storeOf(b compute.Backend) store {
	if s, ok := b.(*session.Backend); ok {
		return remote{s}
	}
	return here
}

// record is what is kept of a model besides its tensors.
type record struct {
	Kept  time.Time       `json:"kept"`
	Gen   string          `json:"generation,omitempty"` // below which the tensors are in the server
	About json.RawMessage `json:"about"`                // of llm
}

// path is where the model was loaded from.
func (r *record) path() string {
	var a struct {
		Path string `json:"path"`
	}
	_ = json.Unmarshal(r.About, &a) // "" if it has none
	return a.Path
}

// local is the store in the process.
type local struct {
	mu     sync.Mutex
	models map[string]resident
}

type resident struct {
	backend compute.Backend
	record
	parts map[string]*tensors.Tensor
}

var here = &local{models: map[string]resident{}}

func (l *local) at(b compute.Backend, key string) (resident, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.models[key]
	return r, ok && r.backend == b
}

func (l *local) has(b compute.Backend, key string) (bool, error) {
	_, ok := l.at(b, key)
	return ok, nil
}

func (l *local) get(b compute.Backend, key string) (*llm.Model, error) {
	r, ok := l.at(b, key)
	if !ok {
		return nil, nil
	}
	return llm.FromParts(b, r.About, r.parts, true)
}

// put copies nothing: the tensors are the store's from now on, and the model's training
// replaces tensors instead of writing to them.
func (l *local) put(b compute.Backend, key string, m *llm.Model) error {
	about, parts, err := m.Parts()
	if err != nil {
		return err
	}
	m.Lend()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.models[key] = resident{b, record{Kept: time.Now(), About: about}, parts}
	return nil
}

// drop leaves the tensors to the garbage collector: others may use them.
func (l *local) drop(b compute.Backend, key string) (bool, error) {
	_, ok := l.at(b, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok {
		delete(l.models, key)
	}
	return ok, nil
}

func (l *local) list(b compute.Backend) (Residents, error) {
	l.mu.Lock()
	all := maps.Clone(l.models)
	l.mu.Unlock()
	ids := map[*tensors.Tensor]uint64{}
	var list Residents
	for key, r := range all {
		if r.backend != b {
			continue
		}
		x := Resident{Name: key, Path: r.path(), Kept: r.Kept}
		for name, t := range r.parts {
			if ids[t] == 0 {
				ids[t] = uint64(len(ids) + 1)
			}
			x.add(name, ids[t], t.Shape())
		}
		list = append(list, x)
	}
	return list, nil
}

// part is the name of a tensor below a generation: "weights/model.norm.weight".
func part(name, gen string) (string, bool) { return strings.CutPrefix(name, gen+"/") }
