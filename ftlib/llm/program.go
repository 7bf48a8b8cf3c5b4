package llm

import (
	"fmt"
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// program is a graph compiled once for every combination of input shapes.
type program struct {
	name  string
	exec  *graph.Exec
	graph atomic.Pointer[graph.Graph] // that was compiled or called last
}

func newProgram(b compute.Backend, name string, fn func(in []*graph.Node) []*graph.Node) (*program, error) {
	exec, err := graph.NewExec(b, fn)
	if err != nil {
		return nil, fmt.Errorf("llm: %s: %w", name, err)
	}
	return &program{name: name, exec: exec.WithName(name).SetMaxCache(-1)}, nil
}

// call runs the program; the outputs are new tensors that the caller frees.
func (p *program) call(args ...[]*tensors.Tensor) ([]*tensors.Tensor, error) {
	n := 0
	for _, a := range args {
		n += len(a)
	}
	flat := make([]any, 0, n)
	for _, a := range args {
		for _, t := range a {
			flat = append(flat, t)
		}
	}
	out, g, err := p.exec.CallWithGraph(flat...)
	if err != nil {
		return nil, fmt.Errorf("llm: %s: %w", p.name, err)
	}
	p.graph.Store(g)
	return out, nil
}

// group is a list of tensors among the arguments of a program.
func group(ts ...*tensors.Tensor) []*tensors.Tensor { return ts }

// nodes hands out the inputs of a program group by group.
type nodes struct{ rest []*graph.Node }

func (n *nodes) next() *graph.Node { return n.take(1)[0] }

func (n *nodes) take(count int) []*graph.Node {
	out := n.rest[:count]
	n.rest = n.rest[count:]
	return out
}

// named takes one input a name.
func (n *nodes) named(names []string) map[string]*graph.Node {
	out := make(map[string]*graph.Node, len(names))
	for i, node := range n.take(len(names)) {
		out[names[i]] = node
	}
	return out
}
