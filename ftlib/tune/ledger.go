package tune

import (
	"fmt"

	"ftlab/ftlib/llm"
)

// ledger is what the weights of a run with several roles take.
type ledger struct {
	Base   int64 // bytes of the one base
	Extras int64 // of adapters and heads on it
	Roles  int   // models that there would be without it
}

// ledger counts the roles that share the policy's base. Roles with a model of their own
// save nothing and are left out.
func (o *online) ledger() ledger {
	l := ledger{Base: o.model.Bytes(), Roles: 1}
	add := func(a *llm.Adapter) {
		if a != nil {
			l.Extras += a.Bytes()
		}
	}
	add(o.model.Adapter())
	if m, ok := o.method.(*ppoMethod); ok && m.value.model == o.model {
		add(m.value.Engine.Adapter())
		l.Roles++
	}
	if o.ref != nil && o.ref.Model() == o.model {
		l.Roles++
		if a := o.ref.Adapter(); a != nil && a != o.model.Adapter() {
			add(a)
		}
	}
	for _, e := range o.scorers {
		if e.Model() == o.model {
			add(e.Adapter())
			l.Roles++
		}
	}
	return l
}

// words say what sharing one base saves; "" where nothing is shared.
func (l ledger) words() string {
	if l.Roles < 2 {
		return ""
	}
	mb := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
	return fmt.Sprintf("weights: %d models on one base of %s with %s of adapters and heads; a base for each would hold %s", l.Roles, mb(l.Base), mb(l.Extras), mb(int64(l.Roles)*l.Base+l.Extras))
}
