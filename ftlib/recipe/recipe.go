package recipe

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"ftlab/ftlib"
)

// Tool is where a configuration comes from.
type Tool string

// The tools whose files are read.
const (
	TRL          Tool = "TRL"
	Axolotl      Tool = "Axolotl"
	LLaMAFactory Tool = "LLaMA-Factory"
)

// Verdict says what became of a setting.
type Verdict string

// The verdicts.
const (
	Kept    Verdict = "kept"
	Changed Verdict = "changed" // honoured in another way: see the note
	Unused  Verdict = "unused"  // without influence on what is trained
	Lost    Verdict = "lost"    // not honoured: the run trains something else
	Default Verdict = "default" // a default of the tool that differs from ours
)

// Entry is what became of one setting of the file.
type Entry struct {
	Line    int     `json:"line,omitempty"` // in the file; zero: a default of the tool
	Key     string  `json:"key"`
	Value   string  `json:"value"`
	Verdict Verdict `json:"verdict"`
	To      string  `json:"to,omitempty"` // "optim.learning_rate=0.0002"
	Note    string  `json:"note,omitempty"`
}

// Report is what became of a file.
type Report struct {
	Tool    Tool    `json:"tool"`
	Entries []Entry `json:"entries"`
}

// Lost are the settings that are not honoured.
func (r Report) Lost() []Entry {
	var out []Entry
	for _, e := range r.Entries {
		if e.Verdict == Lost {
			out = append(out, e)
		}
	}
	return out
}

// rule says what a key of a tool becomes.
type rule struct {
	to   string // a key of a run; "M." stands for the method's section
	note string
	// value converts; nil: as it is. It may set more by im.set, and say what it did.
	value func(im *importer, text string) (to string, v Verdict, note string)
	v     Verdict // without a value function: "" is Kept when to is set
}

// Import reads a file of another tool. A TRL file does not say which trainer it is for:
// method does ("sft", "dpo", ...), else its keys, else it is SFT. The run may still need what
// no file says, a path of the data for instance: Validate tells.
func Import(data []byte, name, method string) (ftlib.Run, Report, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return ftlib.Run{}, Report{}, fmt.Errorf("recipe: %s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return ftlib.Run{}, Report{}, fmt.Errorf("recipe: %s: no settings; a configuration of TRL, Axolotl or LLaMA-Factory is expected", name)
	}
	im := &importer{keys: map[string]*yaml.Node{}, used: map[string]bool{}}
	m := doc.Content[0]
	for i := 0; i+1 < len(m.Content); i += 2 {
		im.order = append(im.order, m.Content[i])
		im.keys[m.Content[i].Value] = m.Content[i+1]
	}
	tool, err := im.detect()
	if err != nil {
		return ftlib.Run{}, Report{}, fmt.Errorf("recipe: %s: %w", name, err)
	}
	im.report.Tool = tool
	if err := im.chooseMethod(tool, method); err != nil {
		return ftlib.Run{}, im.report, fmt.Errorf("recipe: %s: %w", name, err)
	}
	im.all(tool)
	return im.run, im.report, nil
}

// importer holds a file while it is read.
type importer struct {
	order  []*yaml.Node // the keys
	keys   map[string]*yaml.Node
	used   map[string]bool // keys of the run that are set
	method string
	run    ftlib.Run
	report Report
}

// has reports whether the file has a key with a value.
func (im *importer) has(key string) bool {
	n := im.keys[key]
	return n != nil && n.Tag != "!!null"
}

// text is the value of a key; "" when it has none.
func (im *importer) text(key string) string {
	if !im.has(key) {
		return ""
	}
	return flow(im.keys[key])
}

// on reports whether a key is true.
func (im *importer) on(key string) bool { return truth(im.text(key)) }

func truth(text string) bool {
	t := strings.ToLower(text)
	return t == "true" || t == "yes" || t == "on"
}

// flow writes a value on one line.
func flow(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	c := *n
	c.Style = yaml.FlowStyle
	for _, part := range c.Content {
		part.Style &^= yaml.LiteralStyle | yaml.FoldedStyle
	}
	data, err := yaml.Marshal(&c)
	if err != nil {
		return n.Value
	}
	return strings.Join(strings.Fields(string(data)), " ")
}

// detect tells the tools apart by keys that only one of them has.
func (im *importer) detect() (Tool, error) {
	switch {
	case im.has("base_model"):
		return Axolotl, nil
	case im.has("stage") || im.has("finetuning_type") || im.has("cutoff_len"):
		return LLaMAFactory, nil
	case im.has("model_name_or_path"):
		return TRL, nil
	case im.has("model"):
		return "", fmt.Errorf("it names no model as TRL (model_name_or_path), Axolotl (base_model) and LLaMA-Factory (model_name_or_path, stage) do; with \"model\" it may be a run file already: ft train %s", "FILE")
	}
	return "", fmt.Errorf("it names no model: TRL writes model_name_or_path, Axolotl base_model, LLaMA-Factory model_name_or_path and stage")
}

// all goes through the file, then through the tool's defaults.
func (im *importer) all(tool Tool) {
	rules := tables[tool]
	for _, key := range im.order {
		n := im.keys[key.Value]
		e := Entry{Line: key.Line, Key: key.Value, Value: flow(n)}
		if n.Tag == "!!null" {
			e.Verdict, e.Note = Unused, "empty"
		} else {
			im.one(&e, rules)
		}
		im.report.Entries = append(im.report.Entries, e)
	}
	for _, d := range im.defaults(tool) {
		to := im.place(d[0])
		if im.used[to] {
			continue
		}
		e := Entry{Key: to, Value: d[1], Verdict: Default, To: to + "=" + d[1], Note: "what " + string(tool) + " does when the file says nothing"}
		if err := im.run.Set(e.To); err != nil {
			panic("recipe: a default: " + err.Error()) // a table of ours is wrong
		}
		im.report.Entries = append(im.report.Entries, e)
	}
}

const noAdapter = "no adapter is trained: the file does not turn one on"

// place writes out the section of the method.
func (im *importer) place(to string) string {
	return strings.Replace(to, "M.", "method."+im.method+".", 1)
}

// one decides about one setting.
func (im *importer) one(e *Entry, rules map[string]rule) {
	r, ok := rules[e.Key]
	if !ok {
		r, ok = common[e.Key]
	}
	if !ok {
		for _, prefix := range unusedPrefixes {
			if strings.HasPrefix(e.Key, prefix) {
				r, ok = rule{v: Unused}, true
			}
		}
	}
	if !ok { // our names are TRL's: the same name somewhere in the run
		if to := im.same(e.Key); to != "" {
			r, ok = rule{to: to}, true
		}
	}
	if !ok && im.run.LoRA == nil && slices.Contains(ftlib.Keys(), "lora."+e.Key) {
		e.Verdict, e.Note = Unused, noAdapter
		return
	}
	if !ok {
		e.Verdict, e.Note = Lost, "not known"
		return
	}
	e.Verdict, e.Note = r.v, r.note
	to := ""
	switch {
	case r.value != nil:
		to, e.Verdict, e.Note = r.value(im, e.Value)
	case r.to != "":
		to = r.to + "=" + e.Value
	}
	if e.Verdict == "" {
		e.Verdict = Kept
	}
	if to == "" {
		return
	}
	if strings.HasPrefix(to, "lora.") && im.run.LoRA == nil {
		e.Verdict, e.Note = Unused, noAdapter
		return
	}
	e.To = im.place(to)
	if err := im.set(e.To); err != nil {
		e.Verdict, e.To, e.Note = Lost, "", lastLine(err)
	}
}

// set changes the run, if the result is one that could train.
func (im *importer) set(assignment string) error {
	try := im.run.Clone()
	if err := try.Set(assignment); err != nil {
		return err
	}
	key, _, _ := strings.Cut(assignment, "=")
	probe := try.Clone()
	ftlibPath(&probe)
	if err := probe.Validate(); err != nil && strings.Contains(err.Error(), key) {
		return err
	}
	im.run, im.used[key] = try, true
	return nil
}

// ftlibPath fills in what every run needs, so that only a setting itself can be wrong.
func ftlibPath(r *ftlib.Run) {
	if r.Model.Path == "" {
		r.Model.Path = "model"
	}
	if r.Data.Train == "" {
		r.Data.Train = "data"
	}
}

func lastLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "ftlib: ")
}

// same finds a key of the run with this name: in the method's section, or in one of the others.
func (im *importer) same(key string) string {
	keys := ftlib.Keys()
	for _, section := range []string{"method." + im.method + ".", "optim.", "batch.", "eval.", "save.", "data.", "lora.", "model.", ""} {
		if section == "lora." && im.run.LoRA == nil { // it would turn one on
			continue
		}
		if slices.Contains(keys, section+key) {
			return section + key
		}
	}
	return ""
}
