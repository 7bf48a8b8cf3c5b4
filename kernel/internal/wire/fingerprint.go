package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
)

// protocol changes when the messages themselves do.
const protocol = "3"

// Fingerprint tells interfaces apart: every signature, every struct that can be reached
// from one, the names of operations and data types, and the version of the messages.
var Fingerprint = sync.OnceValue(func() string {
	var text strings.Builder
	text.WriteString(protocol + ";")
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		fmt.Fprintf(&text, "%s %s;", t, t.Kind())
		if seen[t] {
			return
		}
		seen[t] = true
		switch t.Kind() {
		case reflect.Struct:
			for i := range t.NumField() {
				text.WriteString(t.Field(i).Name + " ")
				walk(t.Field(i).Type)
			}
		case reflect.Slice, reflect.Pointer, reflect.Array:
			walk(t.Elem())
		case reflect.Map:
			walk(t.Key())
			walk(t.Elem())
		case reflect.Interface:
			for i := range t.NumMethod() {
				text.WriteString(t.Method(i).Name + " ")
				walk(t.Method(i).Type)
			}
		case reflect.Func:
			for i := range t.NumIn() {
				walk(t.In(i))
			}
			for i := range t.NumOut() {
				walk(t.Out(i))
			}
		}
	}
	walk(FuncT)
	walk(BuilderT)
	walk(reflect.TypeFor[compute.Capabilities]())
	walk(reflect.TypeFor[Stats]())
	walk(reflect.TypeFor[Kept]())
	walk(reflect.TypeFor[LoadRequest]())
	walk(reflect.TypeFor[Saved]())
	for op := compute.OpType(0); op < compute.OpTypeLast; op++ {
		text.WriteString(op.String() + ";")
	}
	for t := range dtypes.DType(64) {
		text.WriteString(t.String() + ";")
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:8])
})
