//go:build !ftlab_session

package corpus

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
)

// writeKind is the type that a column is written with.
type writeKind int

const (
	writeNull writeKind = iota // nothing seen yet
	writeBool
	writeInt
	writeFloat
	writeText
	writeBytes
	writeList
	writeStruct
	writeJSON // values of several types
)

// writeNode is a column to be written, found from the values in it. Everything
// is optional; lists have the three levels of the format's LogicalTypes document.
type writeNode struct {
	name   string
	kind   writeKind
	fields []*writeNode          // of a struct, in order of appearance
	byName map[string]*writeNode // the same
	elem   *writeNode            // of a list
	leaf   int                   // number of the leaf column
	leaves int
	rep    int // repetition level of a list's further elements
}

const mostFields = 200 // an object with more keys is written as JSON

func (n *writeNode) child(name string) *writeNode {
	if c := n.byName[name]; c != nil {
		return c
	}
	if n.byName == nil {
		n.byName = map[string]*writeNode{}
	}
	c := &writeNode{name: name}
	n.byName[name] = c
	n.fields = append(n.fields, c)
	return c
}

// see widens the type so that v fits.
func (n *writeNode) see(v any, depth int) {
	var kind writeKind
	switch x := v.(type) {
	case nil:
		return
	case bool:
		kind = writeBool
	case int64:
		kind = writeInt
	case float64:
		kind = writeFloat
	case string:
		kind = writeText
	case []byte:
		kind = writeBytes
	case []any:
		kind = writeList
		if n.elem == nil {
			n.elem = &writeNode{name: "element"}
		}
		for _, e := range x {
			n.elem.see(e, depth+1)
		}
	case map[string]any:
		kind = writeStruct
		for _, k := range fieldNames(x) {
			n.child(k).see(x[k], depth+1)
		}
		if len(n.fields) > mostFields {
			kind = writeJSON
		}
	default:
		kind = writeJSON
	}
	switch {
	case depth > 16:
		n.kind = writeJSON
	case n.kind == writeNull || n.kind == kind:
		n.kind = kind
	case n.kind == writeInt && kind == writeFloat || n.kind == writeFloat && kind == writeInt:
		n.kind = writeFloat
	default:
		n.kind = writeJSON
	}
}

// fieldNames are the keys of an object in the order in which people write them:
// who speaks before what is said.
func fieldNames(x map[string]any) []string {
	keys := slices.Sorted(maps.Keys(x))
	slices.SortStableFunc(keys, func(a, b string) int { return leading(a) - leading(b) })
	return keys
}

func leading(key string) int {
	switch key {
	case "role", "from", "step", "text":
		return 0
	}
	return 1
}

// settle decides what was left open and numbers the leaves.
func (n *writeNode) settle() {
	for _, f := range n.fields {
		if f.kind != writeNull {
			continue
		}
		switch f.name { // canonical columns keep their type when no row has a value
		case "margin", "reward":
			f.kind = writeFloat
		case "label", "is_correct":
			f.kind = writeBool
		}
	}
	next := 0
	n.number(&next, 0)
	n.leaves = next
}

func (n *writeNode) number(next *int, rep int) {
	if n.kind == writeStruct && len(n.fields) == 0 {
		n.kind = writeJSON // parquet has no empty groups
	}
	switch n.kind {
	case writeStruct:
		first := *next
		for _, f := range n.fields {
			f.number(next, rep)
		}
		n.leaf, n.leaves = first, *next-first
	case writeList:
		n.rep = rep + 1
		first := *next
		n.elem.number(next, rep+1)
		n.leaf, n.leaves = first, *next-first
	default:
		n.leaf, n.leaves = *next, 1
		*next++
	}
}

// node is the parquet type of the column.
func (n *writeNode) node() parquet.Node {
	switch n.kind {
	case writeBool:
		return parquet.Optional(parquet.Leaf(parquet.BooleanType))
	case writeInt:
		return parquet.Optional(parquet.Leaf(parquet.Int64Type))
	case writeFloat:
		return parquet.Optional(parquet.Leaf(parquet.DoubleType))
	case writeBytes:
		return parquet.Optional(parquet.Leaf(parquet.ByteArrayType))
	case writeList:
		return parquet.Optional(parquet.List(n.elem.node()))
	case writeStruct:
		return parquet.Optional(n.group())
	case writeJSON:
		return parquet.Optional(parquet.JSON())
	}
	return parquet.Optional(parquet.String())
}

// group is the struct with its fields in order; parquet.Group would sort them.
func (n *writeNode) group() parquet.Node {
	g := &orderedGroup{Group: parquet.Group{}}
	for _, f := range n.fields {
		node := f.node()
		g.Group[f.name] = node
		g.fields = append(g.fields, &orderedField{Node: node, name: f.name})
	}
	return g
}

type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

func (g *orderedGroup) Fields() []parquet.Field     { return g.fields }
func (g *orderedGroup) Compression() compress.Codec { return nil }
func (g *orderedGroup) Encoding() encoding.Encoding { return nil }

type orderedField struct {
	parquet.Node
	name string
}

func (f *orderedField) Name() string { return f.name }

func (f *orderedField) Value(base reflect.Value) reflect.Value {
	return base.MapIndex(reflect.ValueOf(f.name))
}

var _ parquet.Field = (*orderedField)(nil)

// shred appends the value to its leaf columns with their levels (Dremel's record
// shredding): rep and def are those of the parent.
func (n *writeNode) shred(v any, rep, def int, cols [][]parquet.Value) {
	if v == nil {
		n.nulls(rep, def, cols)
		return
	}
	def++ // the node is there
	switch n.kind {
	case writeStruct:
		obj := v.(map[string]any)
		for _, f := range n.fields {
			f.shred(obj[f.name], rep, def, cols)
		}
	case writeList:
		list := v.([]any)
		if len(list) == 0 {
			n.nulls(rep, def, cols)
			return
		}
		for i, e := range list {
			r := rep
			if i > 0 {
				r = n.rep
			}
			n.elem.shred(e, r, def+1, cols)
		}
	default:
		cols[n.leaf] = append(cols[n.leaf], n.leafValue(v).Level(rep, def, n.leaf))
	}
}

func (n *writeNode) nulls(rep, def int, cols [][]parquet.Value) {
	for c := n.leaf; c < n.leaf+n.leaves; c++ {
		cols[c] = append(cols[c], parquet.NullValue().Level(rep, def, c))
	}
}

func (n *writeNode) leafValue(v any) parquet.Value {
	switch n.kind {
	case writeBool:
		return parquet.BooleanValue(v.(bool))
	case writeInt:
		return parquet.Int64Value(v.(int64))
	case writeFloat:
		f, _ := asNumber(v)
		return parquet.DoubleValue(f)
	case writeText:
		return parquet.ByteArrayValue([]byte(v.(string)))
	case writeBytes:
		return parquet.ByteArrayValue(v.([]byte))
	}
	data, err := json.Marshal(v)
	if err != nil {
		data = []byte("null")
	}
	return parquet.ByteArrayValue(data)
}
