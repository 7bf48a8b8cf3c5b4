package tune

import (
	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/plan"
)

// rowsAtOnce is how many answers are written side by side: as many as are wanted, if a third of the
// memory holds their keys and values. The answers are the same, up to rounding.
func rowsAtOnce(m *llm.Model, want int, run ftlib.Run) int {
	c := m.Config
	length := run.Data.MaxLength
	if length == 0 {
		length = usualLength(c.MaxPositions)
	}
	s := plan.Setup{Length: length, Shape: plan.Shape{Layers: c.Layers, KVHeads: c.KVHeads, HeadDim: c.HeadDim}}
	machine := backend.ThisMachine()
	free := machine.Memory
	if backendKind(m.Backend.Description()) == "xla:cuda" && len(machine.GPUs) > 0 {
		free = machine.GPUs[0].Memory
	}
	return plan.RowsThatFit(want, s.RowBytes(), free)
}
