package main

import (
	"fmt"
	"os"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/spf13/cobra"

	"ftlab/ftlib/export"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/quant"
)

func init() { commands = append(commands, quantizeCmd) }

func quantizeCmd() *cobra.Command {
	var q llm.QuantOptions
	var to, in, out string
	cmd := &cobra.Command{
		Use:   "quantize MODEL --to nf4|fp4|int8 -o DIR",
		Short: "Write a model with its linear layers in four or eight bits",
		Long: `Reads a directory of safetensors and writes a new one: the linear layers of the blocks in
NF4, FP4 or int8 as bitsandbytes stores them, everything else as it is, with config.json,
tokenizer and chat template. It loads without being quantised again, here (model.path,
ft chat --model) and in transformers with bitsandbytes. Weights go from file to file one
at a time: memory does not grow with the model.`,
		Example: `  ft quantize models/llama-2-7b --to nf4 --double-quant -o models/llama-2-7b-nf4`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usageErrorf("name a new directory with --out")
			}
			q.Type = quant.Type(to)
			types := map[string]dtypes.DType{"float32": dtypes.Float32, "bfloat16": dtypes.BFloat16, "float16": dtypes.Float16}
			compute, ok := types[in]
			if !ok {
				return usageErrorf("--compute-type: %q is not one of float32, bfloat16, float16", in)
			}
			q.Compute = compute
			if _, err := q.Resolve(); err != nil {
				return withCode(exitUsage, err)
			}
			dir, err := llm.Resolve(args[0])
			if err != nil {
				return withCode(exitUsage, err)
			}
			begin := time.Now()
			done, err := export.Quantize(dir, out, q, export.Receipt{Command: os.Args, Versions: map[string]string{"ftlab": version().Version}})
			if err != nil {
				return withCode(exitUsage, err)
			}
			if wantJSON(cmd) {
				return printJSON(cmd, done)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s  %s, before %s: %d matrices at %.3f bits a weight (%s), in %s\n",
				out, bytesText(done.After), bytesText(done.Before), done.Weights, done.Bits, q.Type, time.Since(begin).Round(time.Millisecond))
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&to, "to", "nf4", "nf4, fp4 or int8")
	fl.StringVarP(&out, "out", "o", "", "new directory for what is written")
	fl.IntVar(&q.Block, "block-size", 0, "weights of nf4 and fp4 that share a scale: 32, 64 ... 4096 (default 64)")
	fl.BoolVar(&q.Double, "double-quant", false, "the scales in 8 bits too: 4.127 bits a weight instead of 4.5")
	fl.StringVar(&in, "compute-type", "float32", "what products are computed in, as config.json will say: float32, bfloat16; float16 for others")
	return cmd
}
