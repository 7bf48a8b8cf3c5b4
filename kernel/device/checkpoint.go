package device

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib/safetensors"
	"ftlab/kernel/internal/wire"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// saver makes checkpoints. Server.mu guards all but busy and folders.
type saver struct {
	changes uint64     // grows when a name is bound or dropped
	saved   uint64     // changes that Options.State holds
	last    wire.Saved // the last one in Options.State
	err     error      // why the last one there failed
	release func()     // gives Options.State back; nil: it was not taken over
	leave   bool       // nothing is to be saved any more

	busy    sync.Mutex         // held while one is written or read
	folders map[string]*folder // guarded by busy
}

// snapshot is what was kept at one moment; each of its buffers holds a reference.
type snapshot struct {
	names   []wire.Kept
	buffers map[uint64]*buffer
	changes uint64
}

func (s *Server) snapshot() snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := snapshot{names: s.below(""), buffers: map[uint64]*buffer{}, changes: s.saver.changes}
	for _, k := range p.names {
		if p.buffers[k.ID] == nil {
			p.buffers[k.ID] = s.buffers[k.ID]
			s.buffers[k.ID].refs++
		}
	}
	return p
}

func (s *Server) letGo(p snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range p.buffers {
		s.unref(id)
	}
}

// checkpoint writes everything kept to a folder. Clients go on meanwhile: it holds
// references, not the lock.
func (s *Server) checkpoint(dir string) (saved wire.Saved, err error) {
	s.saver.busy.Lock()
	defer s.saver.busy.Unlock()
	defer func() {
		if err != nil {
			err = fmt.Errorf("checkpoint in %s: %w%s", dir, err, remedy(dir, err))
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return saved, err
	}
	began := time.Now()
	p := s.snapshot()
	defer s.letGo(p)
	x := newIndex()
	x.Backend = s.backend.Description()
	f := &folder{id: x.ID, at: map[uint64]place{}}
	if old := s.saver.folders[dir]; old != nil {
		if there, err := readIndex(dir); err == nil && there.ID == old.id { // nobody else wrote there
			f.at = old.worthKeeping(p)
		}
	}
	saved = wire.Saved{Dir: dir, Time: x.Time.UnixNano(), Tensors: len(p.names)}
	if saved.Written, err = s.writeData(dir, p, f.at); err != nil {
		return saved, err
	}
	for _, k := range p.names {
		at := f.at[k.ID]
		x.Tensors = append(x.Tensors, indexTensor{Name: k.Name, DType: k.Shape.DType.String(), Shape: k.Shape.Dimensions, Axes: k.Shape.AxisNames,
			Device: int(k.Device), File: at.file, Key: at.key, CRC32C: at.crc})
	}
	for id := range p.buffers {
		saved.Bytes += p.buffers[id].bytes
	}
	if err := writeIndex(dir, x); err != nil {
		return saved, err
	}
	if s.saver.folders == nil {
		s.saver.folders = map[string]*folder{}
	}
	s.saver.folders[dir] = f
	if err := sweep(dir, x); err != nil {
		log.Printf("device: checkpoint in %s: old files: %v", dir, err) // the new one is whole
	}
	saved.Seconds = time.Since(began).Seconds()
	s.savedAs(saved, p.changes)
	return saved, nil
}

// worthKeeping are the places of what is kept still, in files of which at least half is.
func (f *folder) worthKeeping(p snapshot) map[uint64]place {
	total, live := map[string]int64{}, map[string]int64{}
	for id, at := range f.at {
		total[at.file] += at.bytes
		if p.buffers[id] != nil {
			live[at.file] += at.bytes
		}
	}
	at := map[uint64]place{}
	for id, where := range f.at {
		if p.buffers[id] != nil && 2*live[where.file] >= total[where.file] {
			at[id] = where
		}
	}
	return at
}

// writeData writes the buffers that have no place yet to a new file, and adds their
// places.
func (s *Server) writeData(dir string, p snapshot, at map[uint64]place) (written int64, err error) {
	file, err := nextFile(dir)
	if err != nil {
		return 0, err
	}
	out := intake{s: s}
	var ids []uint64
	var tensors []safetensors.Tensor
	for _, k := range p.names {
		if _, ok := at[k.ID]; ok {
			continue
		}
		b := p.buffers[k.ID]
		t := safetensors.Tensor{Name: k.Name, DType: stored[k.Shape.DType], Shape: k.Shape.Dimensions}
		bytes := b.bytes
		if k.Shape.DType.IsPacked() { // XLA gives a byte an element
			raw, err := out.read(b)
			if err != nil {
				return 0, fmt.Errorf("tensor %q: %w", k.Name, err)
			}
			bytes = int64(len(raw))
		}
		if t.DType == "" { // the format has no such type: its bytes, as they are
			t.DType, t.Shape = safetensors.U8, []int{int(bytes)}
		}
		if t.Name == "__metadata__" { // the format's own
			t.Name += "_"
		}
		at[k.ID] = place{file: file, key: t.Name, bytes: bytes}
		ids, tensors = append(ids, k.ID), append(tensors, t)
		written += bytes
	}
	if len(ids) == 0 {
		return 0, nil
	}
	err = safetensors.WriteFunc(filepath.Join(dir, file), tensors, nil, func(i int) ([]byte, error) {
		raw, err := out.read(p.buffers[ids[i]])
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", tensors[i].Name, err)
		}
		where := at[ids[i]]
		where.crc = crc32.Checksum(raw, castagnoli)
		at[ids[i]] = where
		return raw, nil
	})
	return written, err
}

// read returns a buffer's bytes, which are valid until the next call.
func (n *intake) read(b *buffer) ([]byte, error) {
	if n.s.backend.HasSharedBuffers() {
		if flat, err := b.Data(); err == nil {
			if raw := dtypes.UnsafeByteSliceFromAny(flat); int64(len(raw)) == b.bytes {
				return raw, nil
			}
		}
	}
	flat, raw := n.room(b.info.Shape, b.bytes)
	err := b.ToFlatData(flat)
	if err != nil && b.info.Shape.DType.IsPacked() {
		flat, raw = n.room(b.info.Shape, int64(b.info.Shape.Size()))
		err = b.ToFlatData(flat)
	}
	return raw, err
}

// remedy says what stays and what to do after a checkpoint that failed.
func remedy(dir string, err error) string {
	text := ""
	if x, old := readIndex(dir); old == nil {
		text = fmt.Sprintf("; the checkpoint of %s stays as it was", clock(x.Time))
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		text += "; nothing is lost while the server runs: make room there, drop names (ft device drop), or name another folder (ft device checkpoint DIR)"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		text += "; name a folder that you may write to (ft device checkpoint DIR)"
	}
	return text
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// savedAs notes a checkpoint, if it is in the server's own folder.
func (s *Server) savedAs(saved wire.Saved, changes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if saved.Dir == s.options.State {
		s.saver.last, s.saver.saved, s.saver.err = saved, changes, nil
	}
}

// saveChanges writes a checkpoint to the server's own folder, if it has one and what is
// kept has changed since the last.
func (s *Server) saveChanges() error {
	s.mu.Lock()
	dir, changed := s.options.State, s.saver.changes != s.saver.saved && !s.saver.leave
	s.mu.Unlock()
	if dir == "" || !changed {
		return nil
	}
	_, err := s.checkpoint(dir)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.saver.err == nil || s.saver.err.Error() != err.Error() {
			log.Printf("device: %v", err)
		}
		s.saver.err = err
	}
	return err
}

// pulse is how often a server shows that it lives.
const pulse = 10 * time.Second

// background does what is done beside the clients' requests, until stop is called.
func (s *Server) background() (stop func()) {
	s.mu.Lock()
	s.usage.returns = make(chan struct{}, 1)
	s.mu.Unlock()
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-s.usage.returns:
				giveBack()
			case <-done:
				return
			}
		}
	})
	if s.options.State != "" {
		all.Go(func() { s.saving(done) })
	}
	return func() { close(done); all.Wait() }
}

// saving makes the checkpoints. Writing takes at most a tenth of the time: a large one
// is followed by a long pause.
func (s *Server) saving(done <-chan struct{}) {
	every := s.options.Every
	if every <= 0 {
		every = time.Minute
	}
	tick := time.NewTicker(min(every, pulse))
	defer tick.Stop()
	next := time.Now().Add(every)
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			s.alive(now)
			if now.Before(next) {
				continue
			}
			began := time.Now()
			_ = s.saveChanges() // noted and logged there
			next = time.Now().Add(max(every, 9*time.Since(began)))
		}
	}
}
