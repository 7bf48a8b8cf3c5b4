package tune

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
)

// Progress shows the events of a run to a person: on a terminal as a bar that is
// drawn over, elsewhere as a line every few seconds.
type Progress struct {
	W        io.Writer
	Terminal bool
	Columns  int           // of the terminal; zero: 80
	Every    time.Duration // between lines where W is no terminal; zero: 5 s

	shown   int // runes of the bar that stands there
	printed time.Time
	last    ftlib.Event
}

var _ ftlib.Sink = (*Progress)(nil)

// Event shows one event.
func (p *Progress) Event(e ftlib.Event) error {
	switch e.Type {
	case ftlib.EventStep:
		p.last = e
		if p.Terminal {
			return p.draw(p.bar(e))
		}
		every := p.Every
		if every == 0 {
			every = 5 * time.Second
		}
		if p.printed.IsZero() || e.Time.Sub(p.printed) >= every || e.Step == e.Steps {
			p.printed = e.Time
			return p.line(status(e))
		}
		return nil
	case ftlib.EventStart:
		return p.line(e.Message)
	case ftlib.EventResume:
		return p.line(fmt.Sprintf("%s\ngoing on after step %d", e.Message, e.Step))
	case ftlib.EventEval:
		return p.line(fmt.Sprintf("step %d: validation %s", e.Step, validated(e.Metrics)))
	case ftlib.EventWarning:
		if e.Step == 0 {
			return p.line("warning: " + e.Message)
		}
		return p.line(fmt.Sprintf("step %d: warning: %s", e.Step, e.Message))
	case ftlib.EventNote:
		return p.line(e.Message)
	case ftlib.EventControl:
		return p.line(fmt.Sprintf("step %d: %s, by %s", e.Step, e.Message, e.Control.By))
	case ftlib.EventSample:
		return p.line(fmt.Sprintf("step %d: %s", e.Step, e.Message))
	case ftlib.EventEnd, ftlib.EventError:
		return p.erase("\n")
	}
	return nil // a saved checkpoint is named in the summary
}

func (p *Progress) bar(e ftlib.Event) string {
	text := status(e)
	width := p.Columns
	if width == 0 {
		width = 80
	}
	room := min(24, width-1-utf8.RuneCountInString(text)-2)
	if room < 4 || e.Steps == 0 {
		return cutTo(text, width-1)
	}
	full := room * e.Step / e.Steps
	return strings.Repeat("█", full) + strings.Repeat("░", room-full) + "  " + text
}

// status is "step 12/80  loss 1.2345  lr 1.9e-04  1,234 tok/s  3m20s left".
func status(e ftlib.Event) string {
	parts := []string{fmt.Sprintf("step %d/%d", e.Step, e.Steps)}
	if e.Loss != nil {
		parts = append(parts, fmt.Sprintf("loss %.4f", *e.Loss))
	}
	parts = append(parts, fmt.Sprintf("lr %.1e", e.LR))
	if e.TokensPerSecond > 0 {
		parts = append(parts, thousands(int(math.Round(e.TokensPerSecond)))+" tok/s")
	}
	if e.SecondsLeft > 0 {
		parts = append(parts, span(e.SecondsLeft)+" left")
	}
	return strings.Join(parts, "  ")
}

func (p *Progress) draw(text string) error {
	n := utf8.RuneCountInString(text)
	_, err := fmt.Fprintf(p.W, "\r%s%s", text, strings.Repeat(" ", max(0, p.shown-n)))
	p.shown = n
	return err
}

// line prints a line of its own and puts the bar back under it.
func (p *Progress) line(text string) error {
	if err := p.erase(""); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(p.W, text); err != nil {
		return err
	}
	if p.Terminal && p.last.Steps > 0 {
		return p.draw(p.bar(p.last))
	}
	return nil
}

// erase takes the bar away; with "\n" it stays and the next output is below it.
func (p *Progress) erase(end string) error {
	if p.shown == 0 {
		return nil
	}
	text := end
	if end == "" {
		text = "\r" + strings.Repeat(" ", p.shown) + "\r"
	} else {
		p.last = ftlib.Event{}
	}
	p.shown = 0
	_, err := io.WriteString(p.W, text)
	return err
}

// Summary is the table at the end of a run.
func (r Result) Summary() string {
	var rows [][2]string
	add := func(name, format string, args ...any) {
		rows = append(rows, [2]string{name, fmt.Sprintf(format, args...)})
	}
	add("result", "%s", r.Message)
	add("steps", "%d of %d in %s", r.Step, r.Steps, span(r.Seconds))
	if r.FirstLoss != 0 {
		add("training loss", "%.4f at first, %.4f at the end", r.FirstLoss, r.Loss)
	}
	if r.EvalLoss != nil {
		text := validated(r.Eval)
		if r.Eval == nil { // it was before this process
			text = fmt.Sprintf("loss %.4f", *r.EvalLoss)
		}
		add("validation", "%s", text)
	}
	if _, rewarded := r.Eval["eval_reward"]; rewarded && r.BestLoss != nil {
		add("best validation", "reward %.4f at step %d", -*r.BestLoss, r.BestStep)
	} else if r.BestLoss != nil {
		add("best validation", "%.4f at step %d", *r.BestLoss, r.BestStep)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
		add(name, "%.4f", r.Metrics[name])
	}
	add("tokens", "%s seen, %s a second", thousands(r.Seen), thousands(int(math.Round(r.PerSecond))))
	if r.Dir != "" {
		add("run", "%s", r.Dir)
	}
	if r.Checkpoint != "" {
		add("checkpoint", "%s", r.Checkpoint)
	}
	for _, w := range r.Warnings {
		add("warning", "%s", w)
	}
	if r.Status == ckpt.Failed {
		rows[0][1] = "failed"
	}
	var b strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&b, "  %-16s %s\n", row[0], row[1])
	}
	return b.String()
}

// validated says what a validation found: "loss 1.2500, perplexity 3.49", or what the method
// is judged by. The loss of a method with rewards is the reward with its sign turned: the
// reward is told.
func validated(m map[string]float64) string {
	var parts []string
	if _, ok := m["eval_reward"]; !ok {
		parts = append(parts, fmt.Sprintf("loss %.4f", m["eval_loss"]))
	}
	if v, ok := m["perplexity"]; ok {
		parts = append(parts, "perplexity "+short(v))
	}
	for _, name := range []string{"reward", "accuracy", "auc", "rewards/accuracies", "rewards/margins"} {
		if v, ok := m["eval_"+name]; ok {
			parts = append(parts, fmt.Sprintf("%s %.4f", name, v))
		}
	}
	return strings.Join(parts, ", ")
}

func short(v float64) string {
	if v >= 10000 {
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// span writes seconds for people: "850ms", "12s", "3m20s", "2h05m".
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", math.Floor(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func cutTo(s string, n int) string {
	if r := []rune(s); len(r) > n && n > 0 {
		return string(r[:n])
	}
	return s
}
