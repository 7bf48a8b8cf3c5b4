package backend

import (
	"reflect"

	"github.com/gomlx/compute"
)

// Program is what the compiler says that a compiled program takes, in bytes.
type Program struct {
	Name      string `json:"name"`
	Temporary int64  `json:"temporary"` // scratch memory while it runs
	Inputs    int64  `json:"inputs"`
	Outputs   int64  `json:"outputs"`
	Code      int64  `json:"code"`
}

// Compiled is XLA's report on a program. It is false for other backends, for one whose
// program lies in the device server, and where the plugin tells nothing.
//
// GoMLX's XLA backend keeps the report in a field of its own and only logs it: it is read
// by reflection, which a future version without that field answers with false.
func Compiled(e compute.Executable) (p Program, ok bool) {
	v := reflect.ValueOf(e)
	for _, field := range []string{"exec", "OnDeviceMemoryUsageStats"} {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return p, false
		}
		if v = v.FieldByName(field); !v.IsValid() {
			return p, false
		}
	}
	for field, to := range map[string]*int64{"Temporary": &p.Temporary, "Inputs": &p.Inputs, "Outputs": &p.Outputs, "GeneratedCode": &p.Code} {
		f := v.FieldByName(field)
		if !f.IsValid() || f.Kind() != reflect.Int64 {
			return p, false
		}
		*to = f.Int()
	}
	return p, p.Temporary+p.Inputs+p.Outputs > 0
}
