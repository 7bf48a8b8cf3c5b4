package session

import "github.com/gomlx/compute"

// results of a call: a []compute.Value or a *function for each output.
type results []any

func (r results) value(i int) compute.Value {
	if vs := r.values(i); len(vs) > 0 {
		return vs[0]
	}
	return nil
}

func (r results) values(i int) []compute.Value {
	if i >= len(r) {
		return nil
	}
	return r[i].([]compute.Value)
}

func (r results) function(i int) compute.Function {
	if i >= len(r) {
		return nil
	}
	return r[i].(*function)
}

// What the generated methods return.

func theValue(r results, err error) (compute.Value, error)       { return r.value(0), err }
func theValues(r results, err error) ([]compute.Value, error)    { return r.values(0), err }
func theFunction(r results, err error) (compute.Function, error) { return r.function(0), err }
func only(_ results, err error) error                            { return err }
