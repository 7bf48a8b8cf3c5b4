//go:build !ftlab_session

package corpus

import (
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// shape is what a parquet group stands for.
type shape int

const (
	shapeLeaf shape = iota
	shapeStruct
	shapeList // its elements are in the one repeated child
	shapeMap  // its entries are in the one repeated child
)

// parquetNode is a schema node with what assembling needs: which leaf columns
// lie below it and at which definition and repetition level it begins to exist.
type parquetNode struct {
	name     string
	shape    shape
	repeated bool // the node itself repeats: an old-style list without a wrapper
	optional bool
	def      int // definition level from which the node is there
	rep      int // repetition level at which a new element of the node begins
	first    int // leaf column below the parent
	leaves   int
	fields   []*parquetNode
	elem     *parquetNode // of a list: the element; of a map: the entry
	decode   func(parquet.Value) (v any, invalid bool)
}

// newParquetNode reads the schema below c. The logical types of the leaves, in
// their order, come from the file's metadata: the library drops some.
func newParquetNode(c *parquet.Column, def, rep int, logical []format.LogicalTypeValue) *parquetNode {
	n := &parquetNode{name: c.Name(), optional: c.Optional(), repeated: c.Repeated()}
	if c.Optional() || c.Repeated() {
		def++
	}
	if c.Repeated() {
		rep++
	}
	n.def, n.rep = def, rep
	if c.Leaf() {
		n.leaves, n.decode = 1, leafDecoder(c, logical[c.Index()])
		return n
	}
	n.shape = shapeStruct
	for _, child := range c.Columns() {
		f := newParquetNode(child, def, rep, logical)
		f.first = n.leaves
		n.leaves += f.leaves
		n.fields = append(n.fields, f)
	}
	if len(n.fields) == 1 && n.fields[0].repeated {
		n.recogniseList(c)
	}
	return n
}

// recogniseList tells lists and maps from structs by the rules of the format's
// LogicalTypes document, with its rules for older files.
func (n *parquetNode) recogniseList(c *parquet.Column) {
	var isList, isMap bool
	if lt := c.Type().LogicalType(); lt != nil {
		switch lt.Value.(type) {
		case *format.ListType:
			isList = true
		case *format.MapType:
			isMap = true
		}
	}
	inner := n.fields[0]
	switch {
	case isMap && len(inner.fields) == 2:
		n.shape, n.elem = shapeMap, inner
	case isList && inner.shape == shapeStruct && len(inner.fields) == 1 && inner.name != "array" && inner.name != n.name+"_tuple":
		n.shape, n.elem = shapeList, inner.fields[0] // list<element>, three levels
	case isList:
		n.shape, n.elem = shapeList, inner // two levels: the repeated node is the element
	}
}

// value assembles the node from the values of its leaves. All values belong to
// one instance of the node's parent, in which the parent exists.
func (n *parquetNode) value(cols [][]parquet.Value, depth int) (v any, invalid bool) {
	if depth > 64 {
		panic("nested more than 64 levels deep")
	}
	if n.repeated { // an old-style list: the field is the list of its instances
		return list(cols, n, nil, depth)
	}
	if len(cols) == 0 || len(cols[0]) == 0 {
		return nil, false
	}
	if n.optional && cols[0][0].DefinitionLevel() < n.def {
		return nil, false
	}
	return n.instance(cols, depth)
}

// instance assembles a node that is there.
func (n *parquetNode) instance(cols [][]parquet.Value, depth int) (v any, invalid bool) {
	switch n.shape {
	case shapeLeaf:
		return n.decode(cols[0][0])
	case shapeList:
		if n.elem == n.fields[0] {
			return list(cols, n.elem, nil, depth)
		}
		return list(cols, n.fields[0], n.elem, depth)
	case shapeMap:
		entries, invalid := list(cols, n.elem, nil, depth)
		return mapOf(entries, n.elem), invalid
	}
	out := make(map[string]any, len(n.fields))
	for _, f := range n.fields {
		fv, bad := f.value(cols[f.first:f.first+f.leaves], depth+1)
		out[f.name] = fv
		invalid = invalid || bad
	}
	return out, invalid
}

// list splits the values of a repeated node into its instances. The elements are
// the instances themselves, or what is in the field "inside" of them.
func list(cols [][]parquet.Value, repeated, inside *parquetNode, depth int) (any, bool) {
	out := []any{}
	if len(cols) == 0 || len(cols[0]) == 0 || cols[0][0].DefinitionLevel() < repeated.def {
		return out, false
	}
	invalid := false
	parts := make([][]parquet.Value, len(cols))
	rest := slices.Clone(cols)
	for len(rest[0]) > 0 {
		for i, c := range rest {
			end := min(1, len(c))
			for end < len(c) && c[end].RepetitionLevel() > repeated.rep {
				end++
			}
			parts[i], rest[i] = c[:end], c[end:]
		}
		var v any
		var bad bool
		if inside != nil {
			v, bad = inside.value(parts, depth+1)
		} else {
			v, bad = repeated.instance(parts, depth+1)
		}
		out = append(out, v)
		invalid = invalid || bad
	}
	return out, invalid
}

// mapOf makes a map of key-value entries.
func mapOf(entries any, entry *parquetNode) any {
	out := map[string]any{}
	list, _ := entries.([]any)
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out[fmt.Sprint(m[entry.fields[0].name])] = m[entry.fields[1].name]
		}
	}
	return out
}
