package llm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
)

// shardBytes is the most that a file of weights holds, as in transformers.
const shardBytes = 5e9

// planned is a weight that will be written.
type planned struct {
	name   string
	bytes  int64 // at most
	parts  int   // tensors that it becomes, at most
	mapped bool  // from a file, whose memory can be given back
}

// plannedPacked is a quantised weight.
func plannedPacked(name string, shape []int, c quant.Config) planned {
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	return planned{name: name, bytes: int64(float64(n)*c.Bits(max(1, shape[len(shape)-1]))/8) + 8192, parts: 6}
}

// writeShards writes weights that get makes one after another to model.safetensors, or to
// shards with an index where they take more than most bytes. written is told of data of
// mapped weights that has reached its file.
func writeShards(dir string, most int64, weights []planned, written func([]byte), get func(name string) ([]safetensors.Tensor, error)) error {
	var files [][]planned
	size := int64(0)
	for _, w := range weights {
		if len(files) == 0 || size+w.bytes > most && size > 0 {
			files, size = append(files, nil), 0
		}
		files[len(files)-1] = append(files[len(files)-1], w)
		size += w.bytes
	}
	index, total := map[string]string{}, int64(0)
	for i, list := range files {
		name := "model.safetensors"
		if len(files) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(files))
		}
		n, longest := 0, 0
		for _, w := range list {
			n, longest = n+w.parts, max(longest, len(w.name)+48) // what quant adds to a name
		}
		w, err := safetensors.Create(filepath.Join(dir, name), map[string]string{"format": "pt"}, safetensors.HeaderRoom(n, longest))
		if err != nil {
			return err
		}
		defer w.Abort()
		var last []safetensors.Tensor // texts of any length, behind all that is aligned
		for _, one := range list {
			ts, err := get(one.name)
			if err != nil {
				return err
			}
			if w.Written = nil; one.mapped {
				w.Written = written
			}
			for _, t := range ts {
				index[t.Name], total = name, total+int64(len(t.Data))
				if t.DType == safetensors.U8 && len(t.Data)%8 != 0 && len(t.Data) < 4096 {
					last = append(last, t)
				} else if err := w.Add(t); err != nil {
					return err
				}
			}
		}
		w.Written = nil
		for _, t := range last {
			if err := w.Add(t); err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	if len(files) < 2 {
		return nil
	}
	data, err := json.MarshalIndent(map[string]any{"metadata": map[string]any{"total_size": total}, "weight_map": index}, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("llm: %w", err)
	}
	return nil
}
