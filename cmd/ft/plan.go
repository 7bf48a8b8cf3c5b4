package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/plan"
	"ftlab/ftlib/tune"
)

func init() { commands = append(commands, planCmd) }

// planFlags are those of ft plan.
type planFlags struct {
	model, method, adapter, dtype, device, devices string
	rank, length, batch, accumulate, rows          int
	tokens, epochs, memory                         float64
	set                                            []string
	calibrate                                      bool
}

func planCmd() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan [RUN.yaml]",
		Short: "Say beforehand what a run needs: memory, time and money",
		Long: `plan says what a run would hold in memory and when, how long it would take, and, where it
does not fit, which settings would, best first. Nothing is loaded and nothing is downloaded.

A run file is planned for this machine, or for the device that --device names. Without a file
the flags describe the run; --model takes a directory or a well-known model or size.

How long this machine takes is calculated from a calibration, which --calibrate makes in
about a quarter of a minute and keeps. For a GPU it is peak rates times what published runs reach.`,
		Example: `  ft plan run.yaml
  ft plan run.yaml --device rtx3060 --rows 10000 --tokens 400
  ft plan --model 7b --adapter qlora --length 512 --device rtx4090
  ft plan devices`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.model, "model", "", "model directory, or a name or size: 7b, TinyLlama-1.1B, Llama-2-13B ...")
	fl.StringVar(&f.method, "method", "", "sft, reward, dpo, kto, orpo, cpo, prm, ppo, grpo, rloo or star (default sft)")
	fl.StringVar(&f.adapter, "adapter", "", "full, lora or qlora (default lora)")
	fl.StringVar(&f.dtype, "dtype", "", "float32 or bfloat16 (default: what the device computes best)")
	fl.IntVar(&f.rank, "r", 0, "rank of the adapter (default 16)")
	fl.IntVar(&f.length, "length", 0, "tokens of the longest row (default: of the data, or 1024)")
	fl.IntVar(&f.batch, "batch", 0, "sequences of a micro-batch (default 4)")
	fl.IntVar(&f.accumulate, "accumulate", 0, "micro-batches of a step (default 1)")
	fl.IntVar(&f.rows, "rows", 0, "rows of the data set (default: of the data)")
	fl.Float64Var(&f.tokens, "tokens", 0, "tokens of a row on average (default: of the data)")
	fl.Float64Var(&f.epochs, "epochs", 0, "passes over the data (default 1)")
	fl.StringVar(&f.device, "device", "", "rtx3060, rtx4090, t4, l4, a10, a100, h100, l40s, 8xa100 ... (default: this machine)")
	fl.StringVar(&f.devices, "devices", "", "a file of devices and prices instead of the built-in one (ft plan devices)")
	fl.Float64Var(&f.memory, "memory", 0, "GiB that may be used (default: all that the device has)")
	fl.StringArrayVar(&f.set, "set", nil, "change a setting, key=value; may be repeated")
	fl.BoolVar(&f.calibrate, "calibrate", false, "measure what this machine computes first, and keep it")
	cmd.AddCommand(planDevicesCmd(&f), planGuideCmd(), planBudgetCmd(), planChooseCmd())
	return cmd
}

func (f *planFlags) run(cmd *cobra.Command, args []string) error {
	run, err := f.spec(args)
	if err != nil {
		return err
	}
	o := tune.PlanOptions{Work: plan.Work{Rows: f.rows, Tokens: f.tokens, Epochs: f.epochs}, Longest: f.length,
		Limit: int64(f.memory * (1 << 30)), NoData: len(args) == 0}
	if f.device != "" {
		table, err := f.table()
		if err != nil {
			return err
		}
		if o.Device, err = table.Find(f.device); err != nil {
			return withCode(exitUsage, err)
		}
	}
	if f.calibrate {
		if err := calibrate(cmd); err != nil {
			return err
		}
	}
	r, err := tune.Plan(run, o)
	if err != nil {
		return withCode(exitUsage, err)
	}
	if wantJSON(cmd) {
		return printJSON(cmd, r)
	}
	fmt.Fprint(cmd.OutOrStdout(), r.Text())
	if r.Cost.Step == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "how long a step takes here is not known yet: ft plan --calibrate measures it once")
	}
	return nil
}

// spec is the run of a file and the flags.
func (f *planFlags) spec(args []string) (ftlib.Run, error) {
	var run ftlib.Run
	if len(args) > 0 {
		var err error
		if run, err = readSpec(args[0], nil); err != nil {
			return run, err
		}
	} else if f.model == "" {
		return run, usageErrorf("give a run file, or --model with a directory or a size such as 7b")
	}
	var changes []string
	change := func(given bool, key, value string) {
		if given {
			changes = append(changes, key+"="+value)
		}
	}
	change(f.model != "", "model.path", f.model)
	change(f.method != "", "method", f.method)
	change(f.dtype != "", "model.dtype", f.dtype)
	change(f.length > 0, "data.max_length", fmt.Sprint(f.length))
	change(f.batch > 0, "batch.per_device_train_batch_size", fmt.Sprint(f.batch))
	change(f.accumulate > 0, "batch.gradient_accumulation_steps", fmt.Sprint(f.accumulate))
	switch f.adapter {
	case "full":
		run.LoRA, run.Model.Load4Bit = nil, false
	case "qlora":
		changes = append(changes, "model.load_in_4bit=true", "model.bnb_4bit_use_double_quant=true")
		fallthrough
	case "lora":
		change(run.LoRA == nil, "lora.r", "16")
	case "":
		change(run.LoRA == nil && len(args) == 0, "lora.r", "16")
	default:
		return run, usageErrorf("--adapter %q: choose full, lora or qlora", f.adapter)
	}
	change(f.rank > 0, "lora.r", fmt.Sprint(f.rank))
	for _, s := range append(changes, f.set...) {
		if err := run.Set(s); err != nil {
			return run, withCode(exitUsage, err)
		}
	}
	return run, nil
}

func (f *planFlags) table() (plan.Devices, error) {
	if f.devices == "" {
		return plan.KnownDevices(), nil
	}
	d, err := plan.ReadDevices(f.devices)
	return d, withCode(exitUsage, err)
}

// calibrate measures this machine and keeps what it found.
func calibrate(cmd *cobra.Command) error {
	fmt.Fprintln(cmd.ErrOrStderr(), "ft: calibrating, about a quarter of a minute on a machine that does nothing else")
	b, err := backend.Open("")
	if err != nil {
		return err
	}
	r, err := tune.Calibrate(b)
	if err != nil {
		return err
	}
	return plan.SaveRates(r)
}

func planDevicesCmd(f *planFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "devices",
		Short: "The graphics cards that are known, with rates and prices",
		Long:  "devices lists the table that --device looks into. --yaml prints it as a file that can be edited and named with ft plan --devices.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if on, _ := cmd.Flags().GetBool("yaml"); on {
				_, err := cmd.OutOrStdout().Write(plan.DevicesYAML())
				return err
			}
			table, err := f.table()
			if err != nil {
				return err
			}
			if wantJSON(cmd) {
				return printJSON(cmd, table)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "name\tmemory\tbfloat16\tfloat32\tbandwidth\treached\tprice")
			for _, d := range table.Devices {
				price := "-"
				if d.Price > 0 {
					price = fmt.Sprintf("$%.2f/h", d.Price)
				}
				fmt.Fprintf(t, "%s\t%.0f GiB\t%.0f TFLOP/s\t%.0f TFLOP/s\t%.0f GB/s\t%.0f %%\t%s\n", d.Name, d.GiB, d.Half, d.Single, d.Bandwidth, 100*d.Reach, price)
			}
			fmt.Fprintf(t, "\nrates: %s\nprices: %s, %s\n", table.Source, table.PricesSource, table.PricesDate)
			return t.Flush()
		},
	}
	cmd.Flags().Bool("yaml", false, "print the table as a file")
	cmd.Flags().StringVar(&f.devices, "devices", "", "a file of devices and prices")
	return cmd
}
