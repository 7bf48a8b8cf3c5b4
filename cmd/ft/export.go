package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ftlab/ftlib"
	"ftlab/ftlib/chat"
	"ftlab/ftlib/export"
)

func init() { commands = append(commands, exportCmd, mergeCmd) }

// exportFlags are those of ft export and ft merge.
type exportFlags struct {
	modelFlags
	out, shard, check string
	o                 export.Options
}

func (f *exportFlags) add(cmd *cobra.Command) {
	f.modelFlags.add(cmd)
	f.addTemplate(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.out, "out", "", "new directory for what is written")
	fl.StringVar(&f.o.DType, "dtype", "", "F32, F16 or BF16; for gguf and ollama also Q8_0, Q4_0, Q4_K (default F32; Q8_0 for ollama)")
	fl.StringVar(&f.shard, "max-shard-size", "5GB", "most bytes of a safetensors file: 500MB, 5GB")
	fl.BoolVar(&f.o.Dequantize, "dequantize", false, "write a quantised model in full size; it is refused without this")
	fl.BoolVar(&f.o.Verify, "verify", false, "load what was written and report the largest difference of a logit")
}

func exportCmd() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export --model DIR [--adapter DIR] --out DIR [--to gguf|safetensors|ollama] | export --check DIR",
		Short: "Write a model for other programs",
		Long: `Folds the adapter into the weights and writes a new directory: safetensors in shards
for transformers and everything that reads its form, a GGUF file with tokenizer and chat
template for llama.cpp, or that and a Modelfile for Ollama ("ollama create NAME -f Modelfile").

Nothing is overwritten, and nothing is there until everything is. receipt.json says what it
was made from; --check DIR compares a directory with its receipt: 0 as written, 1 changed.`,
		Example: `  ft export --model models/ft-tiny --adapter runs/NAME/step-200 --to gguf --dtype Q8_0 --out tuned-gguf --verify
  ft export --check tuned-gguf`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.check != "" {
				return checkArtefact(cmd, f.check)
			}
			return f.run(cmd)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.o.To, "to", "safetensors", "safetensors, gguf or ollama")
	cmd.Flags().StringVar(&f.o.Name, "name", "", "name of the model in the GGUF file (default: of the directory)")
	cmd.Flags().StringVar(&f.check, "check", "", "compare this directory with its receipt")
	delete(cmd.Flags().Lookup("model").Annotations, cobra.BashCompOneRequiredFlag) // --check needs none
	return cmd
}

func mergeCmd() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "merge --model DIR --adapter DIR --out DIR",
		Short: "Fold an adapter into full weights",
		Long: `Writes the model with the adapter folded into its weights as a new directory that loads
without the adapter. A head that is the embedding stays so, unless the adapter has one of
its own. The model's own directory is refused, as is one that holds something.`,
		Example: `  ft merge --model models/ft-tiny --adapter runs/NAME/step-200 --out tuned --verify`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.adapter == "" {
				return usageErrorf("merge folds an adapter in: name it with --adapter")
			}
			return f.run(cmd)
		},
	}
	f.add(cmd)
	return cmd
}

func (f *exportFlags) run(cmd *cobra.Command) (err error) {
	if f.model == "" || f.out == "" {
		return usageErrorf("name the model with --model and a new directory with --out")
	}
	if f.o.ShardBytes, err = byteSize(f.shard); err != nil {
		return usageErrorf("--max-shard-size: %w", err)
	}
	dir, err := f.dir()
	if err != nil {
		return err
	}
	if err := export.Free(f.out, dir); err != nil { // before anything is loaded
		return withCode(exitUsage, err)
	}
	if _, statErr := os.Stat(filepath.Join(dir, "tokenizer.json")); statErr == nil || f.o.To != "safetensors" && f.o.To != "" {
		if f.o.Tokenizer, err = f.tokenizer(); err != nil {
			return err
		}
		f.o.Receipt.Token = f.o.Tokenizer.Hash()
	}
	t, err := f.chatTemplate()
	switch {
	case err == nil:
		f.o.Template = t.Source()
	case f.template != "" || !errors.Is(err, chat.ErrNoTemplate):
		return err
	}
	if err := f.receipt(dir); err != nil {
		return withCode(exitUsage, err)
	}
	m, err := f.load()
	if err != nil {
		return err
	}
	defer m.Close()
	r, err := export.Write(m, f.out, f.o)
	if err != nil {
		if strings.Contains(err.Error(), "unknown quantization") || strings.Contains(err.Error(), "--dequantize") {
			return withCode(exitUsage, err)
		}
		return err
	}
	if wantJSON(cmd) {
		return printJSON(cmd, r)
	}
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s  %s in %d files: %s\n", r.Path, bytesText(r.Bytes), len(r.Files), strings.Join(r.Files, ", "))
	if c := r.Checked; c != nil {
		fmt.Fprintf(w, "read back: logits differ by at most %.3g of %.3g, the same token on top at %.0f %% of %d positions\n",
			c.LargestDifference, c.LargestLogit, 100*c.SameTop, c.Positions)
	}
	return nil
}

// receipt notes what the artefact is made from.
func (f *exportFlags) receipt(dir string) (err error) {
	r := &f.o.Receipt
	r.Command, r.Versions, r.Template = os.Args, map[string]string{"ftlab": version().Version}, export.TextHash(f.o.Template)
	if r.Base, err = export.StampOf(dir); err != nil {
		return err
	}
	if f.adapter == "" {
		return nil
	}
	a, err := export.StampOf(f.adapter)
	if err != nil {
		return err
	}
	r.Adapters = []export.Stamp{*a}
	for _, at := range []string{f.adapter, filepath.Dir(filepath.Clean(f.adapter))} { // a checkpoint lies in its run
		path := filepath.Join(at, "run.yaml")
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if r.Run, err = export.StampOf(path); err != nil {
			return err
		}
		if run, err := ftlib.Decode(data, path); err == nil {
			r.Seed = run.Seed
		}
		var env struct{ Inputs json.RawMessage }
		if data, err := os.ReadFile(filepath.Join(at, "env.json")); err == nil && json.Unmarshal(data, &env) == nil {
			r.Data = env.Inputs
		}
		break
	}
	return nil
}

func checkArtefact(cmd *cobra.Command, dir string) error {
	r, problems, notes, err := export.Check(dir)
	if err != nil {
		return err
	}
	if wantJSON(cmd) {
		if err := printJSON(cmd, map[string]any{"path": dir, "receipt": r, "problems": problems, "notes": notes}); err != nil {
			return err
		}
	} else {
		for _, p := range append(problems, notes...) {
			fmt.Fprintln(cmd.OutOrStdout(), p)
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("export: %s is not as it was written: %d differences", dir, len(problems))
	}
	if !wantJSON(cmd) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s is as it was written on %s: %d files\n", dir, r.Made.Format("2006-01-02 15:04 MST"), len(r.Files))
	}
	return nil
}

// byteSize reads "500MB" or "5GB", in thousands as file managers count.
func byteSize(text string) (int64, error) {
	s := strings.ToUpper(strings.TrimSpace(text))
	unit := int64(1)
	for suffix, n := range map[string]int64{"KB": 1e3, "MB": 1e6, "GB": 1e9} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = rest, n
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(v > 0) || v > 1e9 {
		return 0, fmt.Errorf("%q is no size such as 500MB or 5GB", text)
	}
	return int64(v * float64(unit)), nil
}

func bytesText(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f kB", float64(n)/1e3)
}
