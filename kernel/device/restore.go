package device

import (
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"github.com/gomlx/compute"

	"ftlab/ftlib/safetensors"
	"ftlab/kernel/internal/wire"
)

// restore binds every name of a checkpoint, or none; other names stay as they are.
func (s *Server) restore(dir string) (saved wire.Saved, err error) {
	s.saver.busy.Lock()
	defer s.saver.busy.Unlock()
	defer func() {
		if err != nil {
			err = fmt.Errorf("restore %s: %w", dir, err)
		}
	}()
	x, err := readIndex(dir)
	if err != nil {
		return saved, err
	}
	saved = wire.Saved{Dir: dir, Time: x.Time.UnixNano(), Tensors: len(x.Tensors)}
	buffers := map[[2]string][]indexTensor{}
	var order [][2]string
	for _, t := range x.Tensors {
		where := [2]string{t.File, t.Key}
		if buffers[where] == nil {
			order = append(order, where)
			shape, err := t.shape()
			if err != nil {
				return saved, err
			}
			n, ok := wire.FlatBytes(shape)
			if !ok {
				return saved, fmt.Errorf("tensor %q has the shape %s, which no buffer has", t.Name, shape)
			}
			saved.Bytes += n
		}
		buffers[where] = append(buffers[where], t)
	}
	n, err := s.newIntake(saved.Bytes)
	if err != nil {
		return saved, err
	}
	defer n.done()
	f := &folder{id: x.ID, at: map[uint64]place{}}
	open := map[string]*safetensors.File{}
	defer func() {
		for _, file := range open {
			file.Close()
		}
	}()
	for _, where := range order {
		file := open[where[0]]
		if file == nil {
			if file, err = safetensors.Open(filepath.Join(dir, where[0])); err != nil {
				return saved, err
			}
			open[where[0]] = file
		}
		if err := n.restoreOne(file, buffers[where], f); err != nil {
			return saved, err
		}
	}
	n.bind("")
	if s.saver.folders == nil {
		s.saver.folders = map[string]*folder{}
	}
	s.saver.folders[dir] = f
	return saved, nil
}

// restoreOne makes the buffer of these names.
func (n *intake) restoreOne(file *safetensors.File, names []indexTensor, f *folder) error {
	first := names[0]
	t, err := file.Tensor(first.Key)
	if err != nil {
		return err
	}
	shape, err := first.shape()
	if err != nil {
		return err
	}
	fill := func(raw []byte) error {
		if err := unmapped(func() error { copy(raw, t.Data); return nil }); err != nil {
			return err
		}
		if crc32.Checksum(raw, castagnoli) != first.CRC32C {
			return errors.New("its bytes are not the ones that were written; the file is damaged")
		}
		return nil
	}
	var list []string
	for _, x := range names {
		list = append(list, x.Name)
	}
	flat, raw := n.room(shape, int64(len(t.Data)))
	if bytes, _ := wire.FlatBytes(shape); bytes != int64(len(raw)) && !(shape.DType.IsPacked() && shape.Size() == len(raw)) {
		return fmt.Errorf("%s: tensor %q: %d bytes for the shape %s", file.Path, first.Key, len(t.Data), shape)
	}
	if err := n.takeFlat(list, shape, compute.DeviceNum(first.Device), flat, raw, fill); err != nil {
		return fmt.Errorf("%s: tensor %q: %w", file.Path, first.Key, err)
	}
	f.at[n.ids[len(n.ids)-1]] = place{first.File, first.Key, first.CRC32C, int64(len(t.Data))}
	return nil
}
