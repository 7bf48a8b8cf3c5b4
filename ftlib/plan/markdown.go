package plan

import (
	"fmt"
	"math"
	"strings"
)

// Markdown is docs/memory.md: the model of this package beside what was measured, published and
// said. `ft plan guide --markdown` prints it, and a test keeps the file in step.
func Markdown() (string, error) {
	var b strings.Builder
	w := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	w("# Memory and time: the planner against measurements")
	w("")
	w("<!-- Made by ft plan guide --markdown > docs/memory.md; a test of ftlib/plan keeps it so. -->")
	w("")
	w("`ft plan` says beforehand what a run needs. Its model is the package [ftlib/plan](../ftlib/plan/doc.go); this page sets it")
	w("beside steps that ran here, beside published runs of other programs, and beside the tables of the guide that the course follows.")
	w("")
	if err := measuredSection(w); err != nil {
		return "", err
	}
	constants(w)
	if err := publishedSection(w); err != nil {
		return "", err
	}
	if err := guideSection(w); err != nil {
		return "", err
	}
	if err := sixtyFive(w); err != nil {
		return "", err
	}
	return b.String(), nil
}

type printer func(format string, a ...any)

func percent(v float64) string { return fmt.Sprintf("%+.0f %%", 100*v) }

func measuredSection(w printer) error {
	r := Recorded()
	w("## Steps that ran here")
	w("")
	w("%s, %s. `scripts/bench plan` runs these again: each in a process of its own, its peak resident size, and the", r.Machine, r.Date)
	w("median of its steps, beside the ledger and beside the time that two calibrations in the same run give. The compiler's column is the")
	w("scratch memory that XLA reports for the largest program, beside the ledger's. %s", r.Note)
	w("")
	w("| step | peak | ledger | off | largest program | ledger | a step | model | off |")
	w("|---|---|---|---|---|---|---|---|---|")
	for _, c := range r.Cases {
		s, err := c.Setup()
		if err != nil {
			return err
		}
		l, m := Memory(s), c.Measured
		if m.PeakMiB == 0 {
			w("| %s, %d x %d | not recorded | %s | | | | | | |", c.Name, c.Batch, c.Length, Size(l.Bytes()))
			continue
		}
		e := float64(l.Bytes()) / mib
		w("| %s, %d x %d | %.0f MiB | %.0f MiB | %s | %.0f MiB | %.0f MiB | %.0f ms | %.0f ms | %s |", c.Name, c.Batch, c.Length, m.PeakMiB, e, percent(e/m.PeakMiB-1),
			m.Compiler, float64(l.Working())/mib, m.StepMS, m.Estimated, percent(m.Estimated/m.StepMS-1))
	}
	w("")
	w("Whole models, one QLoRA step of one row each (`scripts/bench memory`; a first step has no gradients and no moments yet while it goes")
	w("backward, so the ledger, which is for the steps after it, is a little above):")
	w("")
	w("| step | peak | ledger | off |")
	w("|---|---|---|---|")
	for _, c := range r.Large {
		s, err := c.Setup()
		if err != nil {
			return err
		}
		e := float64(Memory(s).Bytes()) / mib
		w("| %s, %d tokens | %.2f GiB | %.2f GiB | %s |", s.Shape.Name, c.Length, c.Measured.PeakMiB/1024, e/1024, percent(e/c.Measured.PeakMiB-1))
	}
	w("")
	return nil
}

func constants(w printer) {
	w("## Constants")
	w("")
	w("| what | value | how |")
	w("|---|---|---|")
	w("| process | %s | resident size with XLA's plugin loaded and nothing else |", Size(processBytes))
	w("| compiler | %s, %s with half precision or packed weights | what compiling the programs of a step leaves behind, over 18 shapes: 185 to 306 MiB |", Size(compilerBytes), Size(compilerHalf))
	w("| allocator | %s and %.0f %% of what comes and goes, less %.0f %% of the working memory | peak less everything that is counted; working memory finds room in what compiling freed |", Size(allocatorBytes), 100*allocatorShare, 100*allocatorReuse)
	w("| allocator, all weights training | %.1f x weights, gradients and moments besides | malloc's heaps of several threads keep the holes of weights that are replaced at every step; with one heap (`glibc.malloc.arena_max=1`) it is not there |", fullShare)
	w("| a block's gradient | 3 score matrices and 3 N x D, or 6 N x F and 6 N x D; 8 and 10 when computed again | XLA's report, fitted over 18 shapes; N tokens, D width, F of the MLP, V of the vocabulary |")
	w("| the head | 2 N x V and 3 N x D | the same: pieces of the logits are not ordered, so all exist at once |")
	w("| a dequantised weight | half of the largest matrix, and a third more | the same |")
	w("| NF4 with double quantization | %s bytes a weight | 1/2 + 1/64 + 4/(64·256) |", trim(Setup{Shape: Shape{Hidden: 1}, Block: 64, Double: true}.rate("nf4")))
	w("| a GPU's process and allocator | %s, %.0f %% | guesses: no GPU was there |", Size(gpuProcess), 100*gpuAllocator)
	w("")
}

func publishedSection(w printer) error {
	w("## Published runs of other programs")
	w("")
	w("*Their way* is the same arithmetic in their types (bfloat16 activations, gradients and moments; attention that keeps no matrix).")
	w("*FTLab* is what the ledger says of FTLab itself, which keeps activations and trained weights in float32 and was not measured on a GPU.")
	w("The times are peak rates times the reach of ftlib/plan/devices.yaml; rows that a reach was fitted to say so.")
	w("")
	w("| run | memory | their way | off | FTLab | a step | model | off | deviation |")
	w("|---|---|---|---|---|---|---|---|---|")
	source := ""
	for _, p := range PublishedRuns() {
		if p.Source != "same" && p.Source != source {
			source = p.Source
			w("| *%s* | | | | | | | | |", source)
		}
		theirs, err := p.Bytes()
		if err != nil {
			return err
		}
		s, err := p.Setup()
		if err != nil {
			return err
		}
		at := float64(theirs) / gib
		times := "| - | - | -"
		if real := p.Measured(); real > 0 {
			t, err := p.Seconds()
			if err != nil {
				return err
			}
			times = fmt.Sprintf("| %s | %s | %s", Duration(real), Duration(t), percent(t/real-1))
		}
		w("| %s | %.1f GiB | %.1f GiB | %s | %s %s | %s |", p.Name, p.GiB, at, percent(at/p.GiB-1), Size(Memory(s).Bytes()), times, p.Why)
	}
	w("")
	return nil
}

func guideSection(w printer) error {
	claims := Guide()
	verdicts, err := Compare(claims)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, v := range verdicts {
		counts[v.Verdict]++
	}
	w("## The guide's tables, row by row")
	w("")
	w("Memory is that of FTLab's ledger on a GPU: one row of %.0f tokens, rank 16 on all linear layers, activations computed again. A time", claims.Tokens)
	w("agrees when it lies between those of rows of %.0f and %.0f tokens, one epoch. Of %d rows %d agree, %d say more than is needed, %d less,", claims.Tokens/2, 2*claims.Tokens, len(verdicts), counts[Agrees], counts[TooHigh], counts[TooLow])
	w("%d cannot be, and %d no planner can judge.", counts[Cannot], counts[Elsewhere])
	w("")
	w("| the guide says | the model says | verdict | |")
	w("|---|---|---|---|")
	section := ""
	for _, v := range verdicts {
		if v.Claim.Section != section {
			section = v.Claim.Section
			w("| **%s** | | | |", section)
		}
		why := v.Why
		if v.Claim.Assume != "" {
			why = strings.TrimPrefix(why+"; taken as: "+v.Claim.Assume, "; ")
		}
		w("| %s | %s | %s | %s |", v.Claim.Text, v.Ours, v.Verdict, why)
	}
	w("")
	return nil
}

func sixtyFive(w printer) error {
	w("## 65B on 24 GB")
	w("")
	shape, err := FindShape("65b")
	if err != nil {
		return err
	}
	c := Claim{Model: "65b", Adapter: "qlora"}
	s, err := c.setup(512)
	if err != nil {
		return err
	}
	linear := float64(shape.linearParams()) * s.rate("nf4")
	outer := float64(shape.outerParams()) * 2
	w("%s weights in the linear layers x %s bytes = %.1f GB in NF4 with double quantization, and %.1f GB for embedding and head in bfloat16:",
		count(shape.linearParams()), trim(s.rate("nf4")), linear/1e9, outer/1e9)
	w("%.1f GB, before adapters, moments and activations. QLoRA's authors trained 65B on one card of 48 GB. On 24 GB it needs two cards, or", (linear+outer)/1e9)
	s.Stream = true
	w("weights that are read block by block, of which %s would be held at a time; then a step is bound by the disk or by PCIe:", Size(Memory(s).Share(lineWeights)))
	passes, _ := s.passes()
	w("%.0f GB x %.0f passes at 12 GB/s are %.0f s.", math.Round(linear/1e9), passes, linear*passes/12e9)
	return nil
}
