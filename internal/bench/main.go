package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"

	"ftlab/ftlib/backend"
)

// result is one line of the report.
type result struct {
	Name    string  `json:"name"`
	Ratio   float64 `json:"ratio,omitempty"`    // ours to the peer's; above 1 we are better where Better is "higher"
	Better  string  `json:"better,omitempty"`   // "higher" or "lower"
	Ours    float64 `json:"ours,omitempty"`     // in Unit
	Peer    float64 `json:"peer,omitempty"`     // in Unit
	Unit    string  `json:"unit,omitempty"`     //
	MS      float64 `json:"ms,omitempty"`       // our median round
	PeakGiB float64 `json:"peak_gib,omitempty"` // our peak resident size
	Rounds  int     `json:"rounds"`

	MemoryRatio float64 `json:"memory_ratio,omitempty"` // our peak to the peer's

	CompileS float64 `json:"compile_s,omitempty"` // of everything that a step needs
}

// bench is a measurement; trainBenches and kernelBenches run in their order.
type bench struct {
	name string
	run  func(o options) (result, error)
}

var trainBenches = []bench{
	{"S", func(o options) (result, error) { return trainBench("S", o) }},
	{"M", func(o options) (result, error) { return trainBench("M", o) }},
	{"decode_1", func(o options) (result, error) { return decodeBench(1, o) }},
	{"decode_8", func(o options) (result, error) { return decodeBench(8, o) }},
	{"first_step", firstStepBench},
	{"peak", peakBench},
}

// options are what the benches need.
type options struct {
	python, ft, peer, model, data string
	cell, client, kernels         string // of the kernel's measurements
	rounds                        int
}

func main() {
	backend.HugePages()
	var o options
	asJSON := flag.Bool("json", false, "print a JSON list")
	methods := flag.Bool("methods", false, "measure the methods of preference and reinforcement learning instead of the training")
	kernel := flag.Bool("kernel", false, "measure the kernel instead of the training")
	memory := flag.Bool("memory", false, "measure the memory of QLoRA instead of the training")
	planned := flag.Bool("plan", false, "compare the planner's estimates of memory and time with steps that run")
	record := flag.String("record", "", "with -plan: write what was measured to this file")
	worker := flag.String("worker", "", "run as a worker: train CONFIG, decode BATCH, step ROWS LENGTH, first MODEL (internal)")
	only := flag.String("only", "", "comma-separated names; empty: all")
	flag.StringVar(&o.python, "python", "", "Python with torch, transformers, peft and trl")
	flag.StringVar(&o.ft, "ft", "", "the ft program")
	flag.StringVar(&o.peer, "peer", "", "the peers' script")
	flag.StringVar(&o.model, "model", "", "a small model directory for first_step and peak")
	flag.StringVar(&o.data, "data", "", "rows to fine-tune it on, jsonl with a text column")
	flag.StringVar(&o.cell, "cell", "", "this program, built as cells are")
	flag.StringVar(&o.client, "client", "", "the Jupyter client's script")
	flag.StringVar(&o.kernels, "kernels", "", "folder of the installed kernelspec")
	flag.IntVar(&o.rounds, "rounds", 9, "rounds of each side")
	flag.Parse()
	if *worker != "" {
		exitOn(runWorker(*worker, flag.Args()))
		return
	}
	if *planned {
		exitOn(runPlan(*only, *record, *asJSON))
		return
	}
	benches := trainBenches
	if *kernel {
		benches = kernelBenches
	}
	if *memory {
		benches = memoryBenches
	}
	if *methods {
		benches = methodBenches
	}
	var all []result
	for _, b := range benches {
		if *only != "" && !contains(strings.Split(*only, ","), b.name) {
			continue
		}
		r, err := b.run(o)
		if errors.Is(err, errNoPeer) && *only == "" {
			fmt.Fprintln(os.Stderr, "bench:", err, "(left out)")
			continue
		}
		exitOn(err)
		all = append(all, r)
		if !*asJSON {
			r.print()
		}
	}
	if *asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		exitOn(enc.Encode(all))
	}
}

// runPlan prints what the planner says beside what is measured.
func runPlan(only, record string, asJSON bool) error {
	var names []string
	if only != "" {
		names = strings.Split(only, ",")
	}
	say := planResult.print
	if asJSON {
		say = func(planResult) {}
	}
	all, err := planBench(names, record, say)
	if err != nil || !asJSON {
		return err
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(all)
}

func (r result) print() {
	switch {
	case r.Ratio == 0 && r.Unit != "":
		fmt.Printf("%-10s %.2f %s (%s is better)\n", r.Name, r.Ours, r.Unit, r.Better)
	case r.Ratio == 0 && r.PeakGiB > 0:
		fmt.Printf("%-10s peak %.2f GiB, a step %.1f s, compiled in %.1f s\n", r.Name, r.PeakGiB, r.MS/1000, r.CompileS)
	case r.Ratio == 0:
		fmt.Printf("%-28s %8.1f ms\n", r.Name, r.MS)
	default:
		fmt.Printf("%-10s ours %8.2f  peer %8.2f %-8s ratio %.3f (%s is better)", r.Name, r.Ours, r.Peer, r.Unit, r.Ratio, r.Better)
		if r.MemoryRatio > 0 {
			fmt.Printf(", memory ratio %.3f", r.MemoryRatio)
		}
		fmt.Println()
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func median(v []float64) float64 {
	s := append([]float64{}, v...)
	sort.Float64s(s)
	return s[len(s)/2]
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
