package export

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/gguf"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
	"ftlab/ftlib/token"
)

// Options say what is written. The zero value writes float32 safetensors.
type Options struct {
	To         string // "safetensors", "gguf" or "ollama"; "": safetensors
	DType      string // safetensors: F32, F16, BF16; gguf and ollama: these, Q8_0, Q4_0, Q4_K; "": F32, and Q8_0 for ollama
	ShardBytes int64  // most bytes of a safetensors file; 0: 5 GB
	Verify     bool   // load what was written and compare its logits
	Dequantize bool   // write quantised weights in full; they are refused without it
	Tokenizer  *token.Tokenizer
	Template   string // chat template; "": none
	Name       string // of the model in GGUF files; "": the base name of the directory
	Receipt    Receipt
}

// Report says what was written.
type Report struct {
	Path    string   `json:"path"`
	Files   []string `json:"files"`
	Bytes   int64    `json:"bytes"`
	Checked *Checked `json:"verified,omitempty"`
}

// Checked compares the logits of what was written with those of the model.
type Checked struct {
	LargestDifference float64 `json:"largest_logit_difference"`
	LargestLogit      float64 `json:"largest_logit"`
	SameTop           float64 `json:"same_top_token"` // share of positions
	Positions         int     `json:"positions"`
}

// Write writes the model, with the adapter that is switched on folded in, as a new
// directory. It is refused where something is already, above all the model's own
// directory; when anything fails nothing is left behind.
func Write(m *llm.Model, dir string, o Options) (Report, error) {
	if err := o.resolve(dir); err != nil {
		return Report{}, err
	}
	if err := Free(dir, m.Path); err != nil {
		return Report{}, err
	}
	if q := m.Quantized(); q != nil && !o.Dequantize {
		return Report{}, fmt.Errorf("export: the base is quantised (%s): what is written would hold its rounded weights in full size. Fold the adapter into the original weights, or say that you want this (--dequantize)", q.Type)
	}
	var checked *Checked
	err := Whole(dir, func(tmp string) error {
		if err := write(m, tmp, o); err != nil {
			return err
		}
		if o.Verify {
			var err error
			if checked, err = verify(m, tmp, o); err != nil {
				return err
			}
			o.Receipt.Verified = checked
		}
		return o.Receipt.seal(tmp)
	})
	if err != nil {
		return Report{}, err
	}
	r := Report{Path: dir, Checked: checked}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			r.Files, r.Bytes = append(r.Files, e.Name()), r.Bytes+info.Size()
		}
	}
	return r, err
}

func (o *Options) resolve(dir string) error {
	if o.To == "" {
		o.To = "safetensors"
	}
	if o.Name == "" {
		o.Name = filepath.Base(dir)
	}
	if o.ShardBytes == 0 {
		o.ShardBytes = 5e9
	}
	known := []string{"F32", "F16", "BF16"}
	switch o.To {
	case "safetensors":
	case "gguf", "ollama":
		known = append(known, "Q8_0", "Q4_0", "Q4_K")
		if o.Tokenizer == nil {
			return errors.New("export: a GGUF file holds the tokenizer; the model has none beside it")
		}
	default:
		return fmt.Errorf("export: %q is not one of safetensors, gguf, ollama", o.To)
	}
	if o.DType == "" {
		o.DType = map[bool]string{true: "Q8_0", false: "F32"}[o.To == "ollama"]
	}
	o.DType = strings.ToUpper(o.DType)
	if !slices.Contains(known, o.DType) {
		return fmt.Errorf("export: unknown quantization or type %q; for %s there are %s", o.DType, o.To, strings.Join(known, ", "))
	}
	if o.ShardBytes < 0 {
		return fmt.Errorf("export: shards of %d bytes", o.ShardBytes)
	}
	return nil
}

// Free refuses a directory that must not be written: the model's own, and one that holds
// something.
func Free(dir, model string) error {
	if model != "" {
		own := model
		if info, err := os.Stat(own); err == nil && !info.IsDir() {
			own = filepath.Dir(own)
		}
		if real(dir) == real(own) {
			return fmt.Errorf("export: %s is the directory of the model that is running; choose another one", dir)
		}
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("export: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("export: %s holds %s and more already; nothing is overwritten: choose a new directory", dir, entries[0].Name())
	}
	return nil
}

// real is the path that links lead to, of as much of it as exists.
func real(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(real(parent), filepath.Base(path))
	}
	return path
}

// Whole lets make fill a directory beside dir and gives it its name when all went well.
func Whole(dir string, make func(tmp string) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), "."+filepath.Base(dir)+".*")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; nothing was written to %s", errors.Join(err, os.RemoveAll(tmp)), dir)
		}
	}()
	if err = make(tmp); err != nil {
		return err
	}
	if err = os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, dir) // an empty directory is replaced
}

func write(m *llm.Model, dir string, o Options) error {
	f := m.Folded()
	if o.To != "safetensors" {
		file := o.Name + "-" + o.DType + ".gguf"
		if err := writeGGUF(filepath.Join(dir, file), f, o.Tokenizer, o.Template, o.Name, gguf.Types[o.DType]); err != nil {
			return err
		}
		if o.To == "ollama" {
			text, err := modelfile(file, &f.Config, o)
			if err != nil {
				return err
			}
			return put(filepath.Join(dir, "Modelfile"), []byte(text))
		}
		return nil
	}
	if err := shards(dir, f, safetensors.DType(o.DType), o.ShardBytes); err != nil {
		return err
	}
	config, err := f.Config.JSON(safetensors.DType(o.DType))
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := put(filepath.Join(dir, "config.json"), config); err != nil {
		return err
	}
	if err := beside(m.Path, dir); err != nil {
		return err
	}
	if o.Tokenizer != nil {
		if err := o.Tokenizer.Save(dir); err != nil {
			return err
		}
	}
	if o.Template != "" {
		return put(filepath.Join(dir, "chat_template.jinja"), []byte(o.Template))
	}
	return nil
}

func put(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// beside copies the small files of a model that say how to use it.
func beside(from, to string) error {
	if from == "" {
		return nil
	}
	if info, err := os.Stat(from); err == nil && !info.IsDir() {
		from = filepath.Dir(from)
	}
	for _, name := range []string{"special_tokens_map.json", "added_tokens.json", "generation_config.json"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if err := put(filepath.Join(to, name), data); err != nil {
			return err
		}
	}
	return nil
}

// modelfile is Ollama's: the file, how conversations end, and how long they may be. The
// conversation's form is the chat template in the GGUF file, which Ollama reads.
func modelfile(file string, c *llm.Config, o Options) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "FROM ./%s\nPARAMETER num_ctx %d\n", file, c.MaxPositions)
	seen := map[string]bool{}
	for _, id := range append(slices.Clone(c.EOS), o.Tokenizer.Config().EOS...) {
		if text, ok := o.Tokenizer.Token(id); ok && !seen[text] {
			seen[text] = true
			fmt.Fprintf(&b, "PARAMETER stop %q\n", text)
		}
	}
	if o.Template != "" {
		text, err := goTemplate(o)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "TEMPLATE \"\"\"%s\"\"\"\n", text)
	}
	return b.String(), nil
}

// goTemplate is the chat template as Ollama's TEMPLATE: what stands around the turns is
// read off a rendered conversation, and a second one checks it.
func goTemplate(o Options) (string, error) {
	s := o.Tokenizer.Special()
	opts := chat.Options{All: true}
	if text, ok := o.Tokenizer.Token(s.BOS); ok {
		opts.BOS = text
	}
	if text, ok := o.Tokenizer.Token(s.EOS); ok {
		opts.EOS = text
	}
	t, err := chat.Parse(o.Template, opts)
	if err != nil {
		return "", err
	}
	render := func(more bool, msgs ...chat.Message) (string, error) {
		return t.Text(msgs, chat.RenderOptions{AddGenerationPrompt: more})
	}
	user := func(text string) chat.Message { return chat.Message{Role: "user", Content: text} }
	answer := func(text string) chat.Message { return chat.Message{Role: "assistant", Content: text} }
	const u, a, y = "\x01U\x01", "\x01A\x01", "\x01S\x01"
	first, err := render(true, user(u))
	if err != nil {
		return "", err
	}
	both, err := render(false, user(u), answer(a))
	if err != nil {
		return "", err
	}
	before, after, ok := strings.Cut(strings.TrimPrefix(first, opts.BOS), u)
	_, end, ok2 := strings.Cut(both, a)
	if !ok || !ok2 {
		return "", errors.New("export: the chat template does not hold messages as they are; Ollama's form cannot be told from it")
	}
	text := before + "{{ .Prompt }}" + after + "{{ .Response }}" + end
	if system, err := render(true, chat.Message{Role: "system", Content: y}, user(u)); err == nil {
		if head, _, ok := strings.Cut(strings.TrimPrefix(system, opts.BOS), before+u); ok && strings.Contains(head, y) {
			text = "{{ if .System }}" + strings.ReplaceAll(head, y, "{{ .System }}") + "{{ end }}" + text
		}
	}
	return text, nil
}

// shards writes model.safetensors, or several files with an index.
func shards(dir string, f *llm.Folded, dtype safetensors.DType, most int64) error {
	var files [][]safetensors.Tensor
	size, total := int64(0), int64(0)
	for _, name := range f.Names {
		t := safetensors.Tensor{Name: name, DType: dtype, Shape: f.Shape(name)}
		bytes := int64(t.Elements() * dtype.Size())
		if len(files) == 0 || size+bytes > most && size > 0 {
			files, size = append(files, nil), 0
		}
		files[len(files)-1] = append(files[len(files)-1], t)
		size, total = size+bytes, total+bytes
	}
	index := map[string]string{}
	for i, list := range files {
		name := "model.safetensors"
		if len(files) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(files))
		}
		err := safetensors.WriteFunc(filepath.Join(dir, name), list, map[string]string{"format": "pt"}, func(j int) ([]byte, error) {
			x, err := f.Values(list[j].Name)
			if err != nil {
				return nil, err
			}
			t, err := safetensors.FromFloat32s(list[j].Name, dtype, list[j].Shape, x)
			return t.Data, err
		})
		if err != nil {
			return err
		}
		for _, t := range list {
			index[t.Name] = name
		}
	}
	if len(files) == 1 {
		return nil
	}
	return putJSON(filepath.Join(dir, "model.safetensors.index.json"), map[string]any{"metadata": map[string]any{"total_size": total}, "weight_map": index})
}

// verify loads what was written and compares logits over random tokens.
func verify(m *llm.Model, dir string, o Options) (*Checked, error) {
	var again *llm.Model
	var err error
	if o.To == "safetensors" {
		again, err = llm.Load(m.Backend, dir, llm.LoadOptions{})
	} else {
		f := m.Folded()
		var g *GGUF
		if g, err = OpenGGUF(filepath.Join(dir, o.Name+"-"+o.DType+".gguf"), f.Config, f.Names); err == nil {
			defer g.Close()
			again, err = llm.LoadFrom(m.Backend, f.Config, g, llm.LoadOptions{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("export: what was written does not load: %w", err)
	}
	defer again.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	b := &corpus.Batch{B: 1, T: min(32, m.Config.MaxPositions)}
	for i := range b.T {
		b.IDs, b.Pos = append(b.IDs, int32(rng.IntN(m.Config.Vocab))), append(b.Pos, int32(i))
		b.Seg, b.Mask = append(b.Seg, 1), append(b.Mask, 1)
	}
	want, err := logits(m, b)
	if err != nil {
		return nil, err
	}
	got, err := logits(again, b)
	if err != nil {
		return nil, err
	}
	c := &Checked{Positions: b.T}
	same := 0
	for t := range b.T {
		x, y := want[t*m.Config.Vocab:(t+1)*m.Config.Vocab], got[t*m.Config.Vocab:(t+1)*m.Config.Vocab]
		for i := range x {
			d := math.Abs(float64(x[i]) - float64(y[i]))
			if math.IsNaN(d) {
				return nil, errors.New("export: what was written gives NaN")
			}
			c.LargestDifference, c.LargestLogit = max(c.LargestDifference, d), max(c.LargestLogit, math.Abs(float64(x[i])))
		}
		if top(x) == top(y) {
			same++
		}
	}
	c.SameTop = float64(same) / float64(b.T)
	if o.DType == "F32" && c.LargestDifference > 1e-3*max(1, c.LargestLogit) {
		return nil, fmt.Errorf("export: what was written is not the model: its logits are %.3g off", c.LargestDifference)
	}
	return c, nil
}

func logits(m *llm.Model, b *corpus.Batch) ([]float32, error) {
	e, err := llm.NewEngine(m, llm.EngineOptions{Train: func(string) bool { return false }})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return e.Logits(b)
}

func top(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
