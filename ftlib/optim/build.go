package optim

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
)

// joinable is the size up to which tensors are updated as one: one kernel is compiled
// instead of some for each.
const joinable = 1 << 16

// build makes the program of a rule: scalars, then weights, gradients and every slot of
// all tensors -> new weights and slots.
func (r *rule) build(in []*Node, decay bool) []*Node {
	vector, rest := in[0], in[1:]
	scalar := func(i int) *Node { return Reshape(Slice(vector, AxisRange(i, i+1))) }
	var scalars []*Node
	for i := 1; i < vector.Shape().Size(); i++ {
		scalars = append(scalars, scalar(i))
	}
	clip := scalar(clipAt)
	n := len(rest) / (2 + len(r.slots))
	column := func(c int) []*Node { return rest[c*n : (c+1)*n] }

	var lists [][]int
	var small []int
	for i, p := range column(0) {
		if !r.alone && p.Shape().Size() <= joinable && p.DType() == dtypes.Float32 {
			small = append(small, i)
		} else {
			lists = append(lists, []int{i})
		}
	}
	if len(small) > 0 {
		lists = append(lists, small)
	}
	out := make([]*Node, (1+len(r.slots))*n)
	for _, list := range lists {
		pick := func(c int) (of []*Node) {
			for _, i := range list {
				of = append(of, column(c)[i])
			}
			return of
		}
		weight := slot{} // weights and gradients lie as a slot of their shape does
		state := make([]*Node, len(r.slots))
		for j, s := range r.slots {
			state[j] = r.join(s, pick(2+j))
		}
		p, g := r.join(weight, pick(0)), r.join(weight, pick(1))
		dtype := p.DType()
		p, state = r.update(scalars, decay, ConvertDType(p, dtypes.Float32), Mul(g, clip), state)
		whole := append([]*Node{ConvertDType(p, dtype)}, state...)
		if len(list) > 1 { // else XLA computes everything again for every piece
			whole = OptimizationBarriers(whole...)
		}
		for c, x := range whole {
			s, like := weight, 0
			if c > 0 {
				s, like = r.slots[c-1], c+1
			}
			for k, piece := range r.split(s, x, pick(like)) {
				out[c*n+list[k]] = piece
			}
		}
	}
	return out
}

// plain says that a list of tensors is computed with as it is.
func (r *rule) plain(of []*Node) bool { return len(of) == 1 && r.block == 1 }

// join lays tensors end to end: in one row, or in rows of blocks, each tensor beginning a
// row and filled up with zeros.
func (r *rule) join(s slot, of []*Node) *Node {
	if r.plain(of) {
		return of[0]
	}
	flat := make([]*Node, len(of))
	for i, x := range of {
		x = Reshape(x, -1)
		if rest := x.Shape().Size() % r.block; rest > 0 && !s.scale {
			fill := ConvertDType(Scalar(x.Graph(), dtypes.Int32, int32(s.zero)), x.DType())
			x = Pad(x, fill, compute.PadAxis{End: r.block - rest})
		}
		flat[i] = x
	}
	x := flat[0]
	if len(flat) > 1 {
		x = Concatenate(flat, 0)
	}
	if r.block > 1 && !s.scale {
		x = Reshape(x, -1, r.block)
	}
	return x
}

// split takes apart what join laid end to end.
func (r *rule) split(s slot, x *Node, like []*Node) []*Node {
	if r.plain(like) {
		return []*Node{x}
	}
	x = Reshape(x, -1)
	out := make([]*Node, len(like))
	from := 0
	for i, as := range like {
		n := as.Shape().Size()
		out[i] = Reshape(Slice(x, AxisRange(from, from+n)), as.Shape().Dimensions...)
		if from += n; !s.scale {
			from += (r.block - n%r.block) % r.block
		}
	}
	return out
}
