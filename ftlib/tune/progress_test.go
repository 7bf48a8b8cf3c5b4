package tune

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ftlab/ftlib"
)

func TestProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &Progress{W: &out, Terminal: true, Columns: 100}
	loss := 1.5
	step := func(n int, left float64) ftlib.Event {
		return ftlib.Event{Type: ftlib.EventStep, Step: n, Steps: 4, Loss: &loss, LR: 2e-4, TokensPerSecond: 12345.6, SecondsLeft: left}
	}
	for _, e := range []ftlib.Event{
		{Type: ftlib.EventStart, Message: "sft: m on d"}, step(1, 7400), step(2, 0.5),
		{Type: ftlib.EventEval, Step: 2, Metrics: map[string]float64{"eval_loss": 1.25, "perplexity": 3.49}},
		step(4, 0), {Type: ftlib.EventEnd},
	} {
		if err := p.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	screen := draw(out.String())
	want := []string{
		"sft: m on d",
		"step 2: validation loss 1.2500, perplexity 3.49",
		"████████████████████████  step 4/4  loss 1.5000  lr 2.0e-04  12,346 tok/s",
		"",
	}
	if strings.Join(screen, "\n") != strings.Join(want, "\n") {
		t.Errorf("the screen shows\n%s\nwant\n%s", strings.Join(screen, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(out.String(), "2h03m left") {
		t.Errorf("no time left in %q", out.String())
	}
}

// draw is a terminal: "\r" goes to the beginning of the line.
func draw(s string) []string {
	var lines []string
	for _, line := range strings.Split(s, "\n") {
		var cells []rune
		at := 0
		for _, r := range line {
			if r == '\r' {
				at = 0
				continue
			}
			if at == len(cells) {
				cells = append(cells, r)
			} else {
				cells[at] = r
			}
			at++
		}
		lines = append(lines, strings.TrimRight(string(cells), " "))
	}
	return lines
}

func TestProgressNeverWiderThanTheTerminal(t *testing.T) {
	loss := 123.456
	for columns := 10; columns < 120; columns++ {
		p := &Progress{Columns: columns}
		bar := p.bar(ftlib.Event{Step: 3, Steps: 100000, Loss: &loss, TokensPerSecond: 1e6, SecondsLeft: 1e5})
		if n := utf8.RuneCountInString(bar); n >= columns {
			t.Errorf("%d columns: a bar of %d", columns, n)
		}
	}
}

func TestProgressElsewhereIsALineEveryFewSeconds(t *testing.T) {
	var out bytes.Buffer
	p := &Progress{W: &out}
	for i := 1; i <= 100; i++ {
		p.Event(ftlib.Event{Type: ftlib.EventStep, Step: i, Steps: 100, Time: time.Unix(1000, 0).Add(time.Duration(i) * 200 * time.Millisecond)})
	}
	p.Event(ftlib.Event{Type: ftlib.EventEnd})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[0], "step 1/100") || !strings.HasPrefix(lines[4], "step 100/100") {
		t.Errorf("%q", lines)
	}
	if strings.Contains(out.String(), "\r") {
		t.Error("a bar in a file")
	}
}

func TestSummary(t *testing.T) {
	v, best := 0.5, 0.25
	text := Result{
		Status: "finished", Message: "finished", Step: 10, Steps: 10, FirstLoss: 2, Loss: 1, EvalLoss: &v, Eval: map[string]float64{"eval_loss": v, "perplexity": 1.65}, BestLoss: &best, BestStep: 5,
		Seen: 1234567, PerSecond: 100.4, Seconds: 75, Dir: "runs/x", Checkpoint: "runs/x/step-10", Metrics: map[string]float64{"accuracy": 0.75},
	}.Summary()
	for _, want := range []string{"10 of 10 in 1m15s", "2.0000 at first, 1.0000 at the end", "loss 0.5000, perplexity 1.65", "0.2500 at step 5", "1,234,567 seen, 100 a second", "runs/x/step-10", "accuracy         0.7500"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestSpan(t *testing.T) {
	for seconds, want := range map[float64]string{0.85: "850ms", 1: "1s", 59.9: "59s", 60: "1m00s", 200: "3m20s", 7500: "2h05m"} {
		if got := span(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}

func TestBackendKind(t *testing.T) {
	for description, want := range map[string]string{
		"xla:/a/cpu_plugin.so - PJRT plugin v0.115":   "xla:cpu",
		"xla:/a/jax_cuda13/plugin.so - PJRT":          "xla:cuda",
		"Go Portable Compute Backend (parallelism=1)": "go",
	} {
		if got := backendKind(description); got != want {
			t.Errorf("%q: %s, want %s", description, got, want)
		}
	}
}
