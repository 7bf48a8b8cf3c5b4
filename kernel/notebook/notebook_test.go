package notebook

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"

	"ftlab/ftlib"
	"ftlab/ftlib/chart"
	"ftlab/ftlib/corpus"
)

// plain runs f as a plain program and returns what it printed.
func plain(t *testing.T, f func()) string {
	t.Helper()
	var b strings.Builder
	oldOut, oldNotebook := out, gonbui.IsNotebook
	out, gonbui.IsNotebook = &b, false
	defer func() { out, gonbui.IsNotebook = oldOut, oldNotebook }()
	f()
	return b.String()
}

// cellOutputs runs f as if in a cell and returns what it sent to the kernel.
func cellOutputs(t *testing.T, f func()) []*protocol.DisplayData {
	t.Helper()
	var sent []*protocol.DisplayData
	oldSend, oldNotebook := send, gonbui.IsNotebook
	send = func(d *protocol.DisplayData) { sent = append(sent, d) }
	gonbui.IsNotebook = true
	defer func() { send, gonbui.IsNotebook = oldSend, oldNotebook }()
	f()
	return sent
}

func mime(d *protocol.DisplayData, m protocol.MIMEType) string {
	s, _ := d.Data[m].(string)
	return s
}

// Every display carries a plain form, so that a saved notebook can be read anywhere.
func TestEveryOutputHasPlainForm(t *testing.T) {
	type result struct {
		Name string `json:"name"`
		Loss float64
	}
	all := func() {
		Show(nil)
		Show("text")
		Show(errors.New("broken <b>"))
		Show(map[string]int{"a": 1})
		Show([]result{{"x", 1}})
		Show(chart.Bars("b", chart.Axis{}, []string{"a"}, chart.Group{Name: "g", Values: []float64{1}}))
		LossChart(course(30)...)
		Markdown("# title")
		Table([][]string{{"a"}, {"b"}})
		Tokens([]corpus.TokenView{{Text: "a", State: corpus.TokenTrained, ID: 1}})
		SideBySide("p", "b", "a")
		Exercise("1", false, "look again")
	}
	for i, d := range cellOutputs(t, all) {
		if mime(d, protocol.MIMETextPlain) == "" {
			t.Errorf("output %d has no plain form: %v", i, d.Data)
		}
	}
	if s := plain(t, all); strings.Contains(s, "<") && !strings.Contains(s, "broken <b>") {
		t.Errorf("markup in a terminal:\n%s", s)
	}
}

func TestChartBundle(t *testing.T) {
	sent := cellOutputs(t, func() { LossChart(course(60)...) })
	if len(sent) != 1 {
		t.Fatalf("%d outputs", len(sent))
	}
	page := mime(sent[0], protocol.MIMETextHTML)
	if !strings.Contains(page, "ftlabChart.draw(") || !strings.Contains(page, "<img ") {
		t.Error("the page form lacks the chart or the static picture")
	}
	if !strings.HasPrefix(mime(sent[0], protocol.MIMEImageSVG), "<svg ") {
		t.Error("no picture beside the page form")
	}
}

func course(n int) []ftlib.Event {
	var events []ftlib.Event
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	events = append(events, ftlib.Event{Time: at, Type: ftlib.EventStart, Steps: n})
	for i := 1; i <= n; i++ {
		loss := 2 * math.Exp(-float64(i)/20)
		at = at.Add(100 * time.Millisecond)
		events = append(events, ftlib.Event{Time: at, Type: ftlib.EventStep, Step: i, Steps: n, Loss: &loss, LR: 1e-3, TokensPerSecond: 12345})
		if i%10 == 0 {
			events = append(events, ftlib.Event{Time: at, Type: ftlib.EventEval, Step: i, Steps: n, Metrics: map[string]float64{"eval_loss": loss + .1}})
		}
	}
	return append(events,
		ftlib.Event{Time: at, Type: ftlib.EventSave, Step: n, Path: "runs/x/step-30"},
		ftlib.Event{Time: at, Type: ftlib.EventEnd, Step: n, Steps: n, Message: "finished"})
}

func TestLiveInNotebook(t *testing.T) {
	var live *LiveChart
	events := course(30)
	sent := cellOutputs(t, func() {
		live = Live("a run")
		live.every = 0
		for _, e := range events {
			if err := live.Event(e); err != nil {
				t.Error(err)
			}
		}
		if err := live.Event(events[3]); err != nil { // after the end: ignored
			t.Error(err)
		}
		live.Close()
	})
	charts, lines := 0, 0
	for _, d := range sent {
		switch d.DisplayID {
		case live.id:
			charts++
		case live.id + "-progress":
			lines++
		default:
			t.Errorf("an output without a known id: %q", d.DisplayID)
		}
	}
	// The library travels twice: when the chart appears and in the final state that is saved.
	if charts != 2 {
		t.Errorf("the chart was sent %d times", charts)
	}
	if lines < 30 {
		t.Errorf("the progress line was sent %d times", lines)
	}
	middle := mime(sent[10], protocol.MIMETextHTML)
	if !strings.Contains(middle, "ftlabChart.update(") || len(middle) > 20_000 {
		t.Errorf("an update of %d bytes: %.300s", len(middle), middle)
	}
	last := sent[len(sent)-2]
	text := mime(last, protocol.MIMETextPlain)
	for _, want := range []string{"done: 30 steps in 3.0 s", "validation loss 1.313 → 0.546", "12,345 tokens/s", "runs/x/step-30"} {
		if !strings.Contains(text, want) {
			t.Errorf("the summary lacks %q: %s", want, text)
		}
	}
	if strings.Contains(mime(last, protocol.MIMETextHTML), "<script") {
		t.Error("the line that is saved holds a script")
	}
	if len(live.Events()) != len(events) {
		t.Errorf("%d events kept of %d", len(live.Events()), len(events))
	}
}

func TestLiveThrottles(t *testing.T) {
	sent := cellOutputs(t, func() {
		live := Live("fast")
		live.every = time.Hour
		live.last = time.Now()
		for _, e := range course(500) {
			_ = live.Event(e)
		}
	})
	if len(sent) != 3 { // getting ready, final line, final chart
		t.Errorf("%d outputs for 500 fast steps", len(sent))
	}
}

func TestLivePlain(t *testing.T) {
	s := plain(t, func() {
		live := Live("a run")
		for _, e := range course(30) {
			_ = live.Event(e)
		}
	})
	if n := strings.Count(s, "step "); n < 3 || n > 6 {
		t.Errorf("%d lines name a step:\n%s", n, s)
	}
	if !strings.Contains(s, "done: 30 steps") || !strings.Contains(s, "validation") {
		t.Errorf("no summary:\n%s", s)
	}
}

func TestLiveShowsWhyARunStopped(t *testing.T) {
	s := plain(t, func() {
		live := Live("a run")
		_ = live.Event(ftlib.Event{Type: ftlib.EventWarning, Message: "overfitting: look"})
		_ = live.Event(ftlib.Event{Type: ftlib.EventError, Step: 3, Message: "loss is NaN"})
	})
	for _, want := range []string{"stopped: 3 steps", "overfitting: look", "loss is NaN"} {
		if !strings.Contains(s, want) {
			t.Errorf("lacks %q:\n%s", want, s)
		}
	}
}

func TestLiveSaysHowToGoOn(t *testing.T) {
	const message = "interrupted after step 3 of 60; go on with: ft runs resume runs/x"
	s := plain(t, func() {
		live := Live("a run")
		_ = live.Event(ftlib.Event{Type: ftlib.EventEnd, Step: 3, Message: message})
	})
	if !strings.Contains(s, message) || strings.Contains(s, "done") {
		t.Errorf("got %q", s)
	}
}

func TestLiveOfAResumedRun(t *testing.T) {
	loss := 0.5
	first := course(30)
	live := &LiveChart{}
	s := plain(t, func() {
		live = Live("a run", first...)
		_ = live.Event(ftlib.Event{Type: ftlib.EventResume, Step: 20, Steps: 40})
		_ = live.Event(ftlib.Event{Type: ftlib.EventStep, Step: 21, Steps: 40, Loss: &loss})
		_ = live.Event(ftlib.Event{Type: ftlib.EventEnd, Step: 21})
	})
	raw := live.Figure().Series[0]
	if len(raw.X) != 21 || raw.Y[20] != 0.5 {
		t.Errorf("the chart has steps %v", raw.X)
	}
	if !strings.Contains(s, "steps in") {
		t.Errorf("no summary: %q", s)
	}
}

func TestFirst(t *testing.T) {
	broken := errors.New("broken")
	seq := func(yield func(int, error) bool) {
		for i := range 3 {
			if !yield(i, nil) {
				return
			}
		}
		yield(0, broken)
	}
	if got, err := First(seq, 2); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := First(seq, 9); err != broken || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestContextEndsWithAnInterrupt(t *testing.T) {
	ctx := Context()
	if ctx.Err() != nil {
		t.Fatal("ended before the interrupt")
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(os.Interrupt); err != nil {
		t.Skip("this system cannot send an interrupt to itself:", err)
	}
	<-ctx.Done()
}

func TestMustEndsTheCell(t *testing.T) {
	code := -1
	exit = func(c int) { code = c }
	defer func() { exit = nil }()
	s := plain(t, func() { Must(3, errors.New("model: models/none: no such folder")) })
	if code != 1 || !strings.Contains(s, "no such folder") {
		t.Errorf("exit %d, printed %q", code, s)
	}
	code = -1
	if v := Must(3, nil); v != 3 || code != -1 {
		t.Errorf("value %d, exit %d", v, code)
	}
}

func TestTableForms(t *testing.T) {
	type row struct {
		Name   string  `json:"name"`
		Loss   float64 `json:"loss"`
		hidden int
	}
	type outer struct {
		row
		Right bool
	}
	for name, c := range map[string]struct {
		rows any
		want string
	}{
		"structs":  {[]row{{"a", 1.5, 1}, {"long name", 12, 2}}, "name       loss\na           1.5\nlong name    12\n"},
		"pointers": {[]*row{{Name: "a"}}, "name  loss\na        0\n"},
		"maps":     {[]map[string]any{{"b": 1, "a": "x"}, {"a": nil}}, "a  b\nx  1\n\n"},
		"strings":  {[][]string{{"h", "i"}, {"1", "2"}}, "h  i\n1  2\n"},
		"rows": {[]corpus.Row{{Columns: []string{"z", "a"}, Values: map[string]any{"z": "one\ntwo", "a": int64(3)}}},
			"z        a\none two  3\n"},
		"embedded": {[]outer{{row{"a", 2, 3}, true}}, "name  loss  Right\na        2  true\n"},
		"nothing":  {[]row{}, "name  loss\n"},
	} {
		if got := plain(t, func() { Table(c.rows) }); got != c.want {
			t.Errorf("%s: got\n%q want\n%q", name, got, c.want)
		}
	}
	if got := plain(t, func() { Table(3) }); !strings.Contains(got, "a table of int") {
		t.Errorf("a number as a table: %q", got)
	}
}

func TestTableIsCutAndSaysSo(t *testing.T) {
	rows := [][]string{{"n"}}
	for i := range 1234 {
		rows = append(rows, []string{fmt.Sprint(i)})
	}
	rows[1][0] = strings.Repeat("ö", 1000)
	tab, _ := tableOf(rows)
	page, err := tab.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page, "and 1,184 more rows") || strings.Count(page, "<tr>") != 51 {
		t.Error("rows are not cut at 50")
	}
	if n := strings.Count(page, "ö"); n != maxCell-1 {
		t.Errorf("a long cell has %d characters", n)
	}
}

func TestNothingGetsIntoThePageAsMarkup(t *testing.T) {
	evil := `<script>alert(1)</script>`
	sent := cellOutputs(t, func() {
		Table([][]string{{evil}, {evil}})
		Tokens([]corpus.TokenView{{Text: evil, State: corpus.TokenState(evil)}})
		Answers(Answer{evil, evil, evil, evil})
		Exercise(evil, true, evil)
		Exercise(evil, false, evil)
		Show(errors.New(evil))
		live := Live(evil)
		_ = live.Event(ftlib.Event{Type: ftlib.EventWarning, Message: evil})
		_ = live.Event(ftlib.Event{Type: ftlib.EventError, Message: evil})
	})
	for _, d := range sent {
		if strings.Contains(mime(d, protocol.MIMETextHTML), evil) {
			t.Errorf("markup from data: %.200s", mime(d, protocol.MIMETextHTML))
		}
	}
}

func TestTokensPlain(t *testing.T) {
	got := plain(t, func() {
		Tokens([]corpus.TokenView{{Text: "Good", State: corpus.TokenContext}, {Text: " film\n", State: corpus.TokenTrained}, {Text: "x", State: corpus.TokenCut}})
	})
	if !strings.Contains(got, "【 film↵\n】") || !strings.Contains(got, "1 of 3 tokens are trained, 1 do not fit") {
		t.Errorf("got %q", got)
	}
}

// A saved notebook that is not trusted loses style sheets: colours stand at each token.
func TestTokensNeedNoStyleSheet(t *testing.T) {
	page, err := tokens{{Text: "a", State: corpus.TokenTrained}, {Text: "", State: corpus.TokenContext}}.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page, "<style") || strings.Count(page, "rgba(46,158,107") != 2 {
		t.Errorf("got %s", page)
	}
}

func TestAnswersAreMarked(t *testing.T) {
	got := plain(t, func() {
		Answers(Answer{Prompt: "Is it good?\n", Before: "green", After: " positive\n", Want: "positive"})
	})
	for _, want := range []string{"before  ✗ green", "after   ✓ positive", "right   positive"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
}

func ExampleTable() {
	Table([]struct {
		Run  string
		Loss float64
	}{{"lora", 0.61}, {"full", 0.583}})
	// Output:
	// Run    Loss
	// lora   0.61
	// full  0.583
}

func ExampleSideBySide() {
	SideBySide("Was it good? I loved it.", "the the", "positive")
	// Output:
	// Was it good? I loved it.
	//   before  the the
	//   after   positive
}
