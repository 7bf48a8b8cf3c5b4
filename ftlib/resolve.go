package ftlib

import (
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Resolve returns a copy of r with the documented meaning of every zero field
// written in. What depends on the model, the machine or the number of rows
// (data type, maximum length, and how often to evaluate and save) stays zero: package
// tune fills it in before it writes the specification down. The backend stays open,
// so that a run can go on on another machine; env.json says which one it was.
// Resolving twice changes nothing.
func (r Run) Resolve() Run { return r.resolve(time.Now()) }

func (r Run) resolve(now time.Time) Run {
	r = r.Clone()
	zero(&r.Out, "runs")
	zero(&r.Seed, 42)
	if r.Method.Name() == "" {
		r.Method.SFT = &SFT{}
	}
	r.Method.resolve()
	if r.Name == "" {
		r.Name = strings.Join([]string{r.Method.Name(), shortName(r.Data.Train), now.Format("20060102-150405")}, "-")
	}
	if r.Data.Validation == "" {
		zero(&r.Data.Split, 0.1)
	}
	if l := r.LoRA; l != nil {
		zero(&l.R, 16)
		zero(&l.Alpha, 2*float64(l.R))
		zero(&l.Bias, "none")
		if len(l.Targets) == 0 {
			l.Targets = []string{"all-linear"}
		}
	}
	o := &r.Optim
	zero(&o.LearningRate, r.Method.learningRate(r.LoRA != nil || r.Model.Adapter != ""))
	if r.Method.STaR != nil {
		zero(&o.Schedule, "constant") // every round begins anew
	}
	zero(&o.Schedule, "linear")
	zero(&o.Optim, o.ResolvedName())
	if o.Beta1 == nil {
		o.Beta1 = ptr(0.9)
	}
	if o.Beta2 == nil {
		o.Beta2 = ptr(0.999)
		if o.Rule() == "lion" {
			o.Beta2 = ptr(0.99)
		}
	}
	zero(&o.Epsilon, 1e-8)
	zero(&o.MaxGradNorm, 1)
	r.Method.batch(&r.Batch)
	zero(&r.Batch.Size, 4)
	zero(&r.Batch.Accumulate, 1)
	if r.Batch.MaxSteps == 0 {
		zero(&r.Batch.Epochs, 1)
	}
	zero(&r.Eval.Rows, 200)
	zero(&r.Save.Keep, 2)
	return r
}

// Dir is the run's directory, Out joined with Name. It is empty before Resolve
// when Name is.
func (r Run) Dir() string {
	if r.Name == "" {
		return ""
	}
	return filepath.Join(r.Out, r.Name)
}

// Clone is a copy that shares no memory with r.
func (r Run) Clone() Run {
	if r.LoRA != nil {
		l := *r.LoRA
		l.Targets, l.SaveModules = slices.Clone(l.Targets), slices.Clone(l.SaveModules)
		l.RankPattern, l.AlphaPattern, l.Tokens = maps.Clone(l.RankPattern), maps.Clone(l.AlphaPattern), maps.Clone(l.Tokens)
		for name, ids := range l.Tokens {
			l.Tokens[name] = slices.Clone(ids)
		}
		r.LoRA = &l
	}
	if r.Parent != nil {
		p := *r.Parent
		r.Parent = &p
	}
	r.ReportTo = slices.Clone(r.ReportTo)
	r.Model.Freeze, r.Model.NewTokens = slices.Clone(r.Model.Freeze), slices.Clone(r.Model.NewTokens)
	r.Method = cloneMethod(r.Method)
	if r.Data.Columns != nil {
		c := make(map[string]string, len(r.Data.Columns))
		for k, v := range r.Data.Columns {
			c[k] = v
		}
		r.Data.Columns = c
	}
	r.Optim.Beta1, r.Optim.Beta2 = clonePtr(r.Optim.Beta1), clonePtr(r.Optim.Beta2)
	return r
}

// Name is the name of the one method that is set, "" when none is.
func (m Method) Name() string {
	v := reflect.ValueOf(m)
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			return yamlName(v.Type().Field(i))
		}
	}
	return ""
}

// cloneMethod copies m with everything that it points to.
func cloneMethod(m Method) Method {
	return deepCopy(reflect.ValueOf(m)).Interface().(Method)
}

func deepCopy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(deepCopy(v.Elem()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(deepCopy(v.Field(i)))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(deepCopy(v.Index(i)))
			}
		}
	}
	return out
}

// shortName makes a directory name from a data path: "data/gsm8k/train.parquet"
// is "gsm8k-train", since most data sets call their file train.
func shortName(path string) string {
	path = filepath.ToSlash(strings.TrimSuffix(path, "/"))
	parts := strings.Split(path, "/")
	name := parts[len(parts)-1]
	for _, ext := range []string{".gz", ".zst", ".parquet", ".jsonl", ".json", ".csv", ".tsv", ".txt"} {
		name = strings.TrimSuffix(name, ext)
	}
	if len(parts) > 1 && slices.Contains([]string{"train", "training", "data", "sample", "*"}, name) {
		name = parts[len(parts)-2] + "-" + name
	}
	name = strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) || c == '-' || c == '_' {
			return c
		}
		return '-'
	}, name)
	name = strings.Trim(name, "-")
	if r := []rune(name); len(r) > 40 {
		name = string(r[:40])
	}
	if name == "" {
		return "data"
	}
	return name
}

func zero[T comparable](field *T, value T) {
	var none T
	if *field == none {
		*field = value
	}
}

func ptr[T any](v T) *T { return &v }

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return ptr(*p)
}
