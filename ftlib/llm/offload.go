package llm

import (
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
)

// kept is what a block keeps for its backward pass: on the backend, or in host memory.
type kept struct {
	here []*tensors.Tensor
	host []hostTensor // while here is nil
	wait sync.WaitGroup
	err  error
}

// leave moves the tensors to host memory, in the background.
func (k *kept) leave() {
	k.wait.Go(func() {
		var host []hostTensor
		for _, t := range k.here {
			h, err := toHost(t)
			if err != nil {
				k.err = err
				return
			}
			host = append(host, h)
		}
		free(k.here...)
		k.here, k.host = nil, host
	})
}

// comeBack moves them to the backend again, in the background.
func (k *kept) comeBack(b compute.Backend) {
	if k.wait.Wait(); k.host == nil || k.err != nil {
		return
	}
	k.wait.Go(func() {
		for _, h := range k.host {
			t, err := h.on(b)
			if err != nil {
				k.err = err
				return
			}
			k.here = append(k.here, t)
		}
		k.host = nil
	})
}

// take gives the tensors, which stay k's.
func (k *kept) take(b compute.Backend) ([]*tensors.Tensor, error) {
	k.comeBack(b) // unless it is under way or was never gone
	k.wait.Wait()
	return k.here, k.err
}

func (k *kept) free() {
	k.wait.Wait()
	free(k.here...)
	k.here, k.host = nil, nil
}
