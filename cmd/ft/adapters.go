package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ftlab/ftlib/export"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
)

func init() { commands = append(commands, adaptersCmd) }

func adaptersCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "adapters",
		Short: "List, show, combine and convert adapters",
	}
	cmd.AddCommand(adaptersListCmd(), adaptersShowCmd(), adaptersMergeCmd(), adaptersConvertCmd())
	return cmd
}

// adapterInfo is what a directory says of its adapter.
type adapterInfo struct {
	Path     string         `json:"path"`
	Params   int            `json:"parameters"`
	Config   map[string]any `json:"config"`
	Tensors  []string       `json:"tensors,omitempty"`
	Complain string         `json:"error,omitempty"`
}

func readAdapter(dir string) (adapterInfo, error) {
	a := adapterInfo{Path: dir}
	data, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	if err == nil {
		err = json.Unmarshal(data, &a.Config)
	}
	if err != nil {
		return a, withCode(exitUsage, fmt.Errorf("adapters: %s: %w; a PEFT adapter holds adapter_config.json and adapter_model.safetensors", dir, err))
	}
	f, err := safetensors.Open(filepath.Join(dir, "adapter_model.safetensors"))
	if err != nil {
		return a, withCode(exitUsage, err)
	}
	defer f.Close()
	for _, name := range f.Names() {
		t, err := f.Tensor(name)
		if err != nil {
			return a, err
		}
		a.Params += t.Elements()
		a.Tensors = append(a.Tensors, fmt.Sprintf("%s %s%v", name, t.DType, t.Shape))
	}
	return a, nil
}

func (a *adapterInfo) kind() string {
	kind := fmt.Sprintf("%v r=%v alpha=%v", a.Config["peft_type"], a.Config["r"], a.Config["lora_alpha"])
	for key, name := range map[string]string{"use_dora": "DoRA", "use_rslora": "rsLoRA"} {
		if on, _ := a.Config[key].(bool); on {
			kind += " " + name
		}
	}
	if s, ok := a.Config["init_lora_weights"].(string); ok {
		kind += " " + s
	}
	return kind
}

func adaptersListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list [DIR]...",
		Short: "Adapters below directories (default: runs)",
		RunE: func(cmd *cobra.Command, roots []string) error {
			if len(roots) == 0 {
				roots = []string{"runs"}
			}
			all := []adapterInfo{}
			for _, root := range roots {
				err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
					if err != nil || d.Name() != "adapter_config.json" {
						return err
					}
					a, err := readAdapter(filepath.Dir(path))
					if err != nil {
						a.Complain = err.Error()
					}
					a.Tensors = nil
					all = append(all, a)
					return nil
				})
				if err != nil {
					return withCode(exitUsage, fmt.Errorf("adapters: %w", err))
				}
			}
			if wantJSON(cmd) {
				return printJSON(cmd, all)
			}
			for _, a := range all {
				if a.Complain != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "%-40s %s\n", a.Path, a.Complain)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%-40s %-28s %9d values  on %v\n", a.Path, a.kind(), a.Params, a.Config["base_model_name_or_path"])
			}
			return nil
		},
	}
}

func adaptersShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show DIR",
		Short: "What an adapter changes, and its tensors",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := readAdapter(args[0])
			if err != nil {
				return err
			}
			if wantJSON(cmd) {
				return printJSON(cmd, a)
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "%s: %s, %d values, on %v\n", a.Path, a.kind(), a.Params, a.Config["base_model_name_or_path"])
			for _, key := range []string{"target_modules", "modules_to_save", "rank_pattern", "alpha_pattern", "lora_dropout", "bias"} {
				if v := a.Config[key]; v != nil {
					fmt.Fprintf(w, "  %s: %v\n", key, v)
				}
			}
			for _, t := range a.Tensors {
				fmt.Fprintln(w, "  "+t)
			}
			return nil
		},
	}
}

// adapterOut loads a model and lets make an adapter of it, which is saved as a new directory.
func adapterOut(cmd *cobra.Command, f *modelFlags, out string, from []string, make func(m *llm.Model) (*llm.Adapter, error)) error {
	if out == "" {
		return usageErrorf("name a new directory with --out")
	}
	if err := export.Free(out, f.model); err != nil {
		return withCode(exitUsage, err)
	}
	for _, dir := range from {
		if _, err := readAdapter(dir); err != nil {
			return err
		}
	}
	m, err := f.load()
	if err != nil {
		return err
	}
	defer m.Close()
	a, err := make(m)
	if err != nil {
		return withCode(exitUsage, err)
	}
	m.SetAdapter(nil)
	defer a.Close()
	r := export.Receipt{Command: os.Args, Versions: map[string]string{"ftlab": version().Version}}
	if dir, err := f.dir(); err == nil {
		if r.Base, err = export.StampOf(dir); err != nil {
			return err
		}
	}
	for _, dir := range from {
		s, err := export.StampOf(dir)
		if err != nil {
			return err
		}
		r.Adapters = append(r.Adapters, *s)
	}
	err = export.Whole(out, func(tmp string) error {
		if err := a.Save(tmp, f.model); err != nil {
			return err
		}
		return export.Seal(tmp, r)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d values\n", out, a.Params())
	return nil
}

func adaptersMergeCmd() *cobra.Command {
	var f modelFlags
	var o llm.Combine
	var out string
	cmd := &cobra.Command{
		Use:   "merge --model DIR --out DIR ADAPTER[=WEIGHT]...",
		Short: "Make one adapter of several",
		Long: `Combines adapters of one model as PEFT's add_weighted_adapter does: linear, cat (exact,
the ranks add up), svd (best of rank --rank), ties, dare_linear, dare_ties, and the last
three with _svd behind. ft merge folds an adapter into the model.`,
		Example: `  ft adapters merge --model models/ft-tiny --type ties --density 0.3 --out both runs/a/step-90=0.7 runs/b/step-50=0.3`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var dirs []string
			o.Weights = nil
			for _, arg := range args {
				weight := 1.0
				if i := strings.LastIndexByte(arg, '='); i > 0 {
					if _, err := fmt.Sscanf(arg[i+1:], "%g", &weight); err != nil {
						return usageErrorf("%q: the weight behind = is no number", arg)
					}
					arg = arg[:i]
				}
				dirs, o.Weights = append(dirs, arg), append(o.Weights, weight)
			}
			return adapterOut(cmd, &f, out, dirs, func(m *llm.Model) (*llm.Adapter, error) {
				var all []*llm.Adapter
				for _, dir := range dirs {
					a, err := m.LoadAdapter(dir)
					if err != nil {
						return nil, err
					}
					defer a.Close()
					m.SetAdapter(nil)
					all = append(all, a)
				}
				return m.Combine(all, o)
			})
		},
	}
	f.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&out, "out", "", "new directory for the adapter")
	fl.StringVar(&o.Type, "type", "cat", "linear, cat, svd, ties, dare_linear, dare_ties; the last three with _svd")
	fl.IntVar(&o.Rank, "rank", 0, "of the svd types (default: the largest of the adapters)")
	fl.Float64Var(&o.Density, "density", 0.5, "part of the values that ties and dare keep")
	fl.StringVar(&o.Majority, "majority", "total", "how ties votes on signs: total or frequency")
	fl.Int64Var(&o.Seed, "seed", 42, "of dare")
	return cmd
}

func adaptersConvertCmd() *cobra.Command {
	var f modelFlags
	var out string
	cmd := &cobra.Command{
		Use:   "convert --model DIR --out DIR ADAPTER",
		Short: "Rewrite an adapter as plain LoRA of the model as it is",
		Long: `Reads an adapter that PEFT wrote for weights which it changed (PiSSA, OLoRA) and writes
one of twice the rank that belongs to the model's own weights, so that it can be switched
and combined with others. Other adapters are written anew with the keys that this program
knows.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return adapterOut(cmd, &f, out, args, func(m *llm.Model) (*llm.Adapter, error) { return m.LoadAdapter(args[0]) })
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "new directory for the adapter")
	return cmd
}
