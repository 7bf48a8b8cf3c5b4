package chart

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib"
)

var update = flag.Bool("update", false, "rewrite testdata")

// course makes the events of a run of n steps whose loss falls from high to low,
// with validation every n/6 steps.
func course(n int, high, low float64) []ftlib.Event {
	events := []ftlib.Event{{Type: "start", Steps: n}}
	for i := 1; i <= n; i++ {
		x := float64(i) / float64(n)
		loss := low + (high-low)*math.Exp(-4*x) + 0.1*math.Sin(float64(i*i))
		events = append(events, ftlib.Event{Type: "step", Step: i, Steps: n, Loss: &loss, LR: 1e-3 * (1 - x + 1/float64(n))})
		if i%(n/6) == 0 {
			v := low + (high-low)*math.Exp(-3.5*x) + 0.05
			events = append(events, ftlib.Event{Type: "eval", Step: i, Metrics: map[string]float64{"eval_loss": v}})
		}
	}
	return append(events, ftlib.Event{Type: "end", Step: n})
}

func figures() map[string]Figure {
	return map[string]Figure{
		"loss":    Loss(Curve{Events: course(24, 2.5, 0.5)}),
		"compare": Loss(Curve{"r=4", course(24, 2.5, 0.7)}, Curve{"r=16", course(18, 2.5, 0.5)}),
		"bars": Bars("Label accuracy", Axis{Name: "accuracy", Unit: Share}, []string{"positive", "negative"},
			Group{"before", []float64{0, 0.02}}, Group{"after", []float64{0.95, 0.9}}),
		"steep": Loss(Curve{Events: course(48, 40, 0.1)}),
		"empty": Loss(Curve{}),
	}
}

// The option is what front ends get; a change of it must be seen and meant.
func TestOptionJSON(t *testing.T) {
	for name, f := range figures() {
		t.Run(name, func(t *testing.T) {
			got, err := f.Option()
			if err != nil {
				t.Fatal(err)
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, got, "", " "); err != nil {
				t.Fatal(err)
			}
			indented.WriteByte('\n')
			compare(t, name+".json", indented.Bytes())
			if bytes.Contains(got, []byte("null")) {
				t.Error("an option holds null, which ECharts takes for a value")
			}
		})
	}
}

func TestText(t *testing.T) {
	for name, f := range figures() {
		compare(t, name+".txt", []byte(f.Text()))
	}
}

func TestSVG(t *testing.T) {
	for name, f := range figures() {
		got, err := f.SVG()
		if err != nil {
			t.Fatal(err)
		}
		compare(t, name+".svg", append(got, '\n'))
	}
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; look at it, then run go test ./ftlib/chart -update\ngot:\n%.2000s", path, got)
	}
}

func TestPNG(t *testing.T) {
	data, err := figures()["loss"].PNG()
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() != staticWidth || b.Dy() != staticHeight {
		t.Errorf("size %v", b)
	}
	seen := map[[3]uint32]bool{}
	for y := range staticHeight {
		for x := range staticWidth {
			r, g, b, _ := img.At(x, y).RGBA()
			seen[[3]uint32{r >> 12, g >> 12, b >> 12}] = true
		}
	}
	if len(seen) < 20 {
		t.Errorf("%d colours: nothing was drawn", len(seen))
	}
}

// A chart that fetches anything is useless on a train.
func TestHTMLNeedsNoNetwork(t *testing.T) {
	page, err := Page("all", figures()["loss"], figures()["bars"])
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?(https?:)?//[^"']*`).FindString(page); m != "" {
		t.Errorf("the page refers to %s", m)
	}
	if n := strings.Count(page, packed()); n != 1 {
		t.Errorf("the library is in the page %d times", n)
	}
	if n := strings.Count(page, "data:image/svg+xml;base64,"); n != 2 {
		t.Errorf("%d static pictures for 2 charts", n)
	}
}

func TestHTMLEscapes(t *testing.T) {
	evil := `</script><img src=x onerror=alert(1)>"&`
	f := Figure{Title: evil, Subtitle: evil, Series: []Series{{Name: evil, Help: evil, X: []float64{1, 2}, Y: []float64{1, 2}}}}
	s, err := f.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s, "<img src=x") {
		t.Error("a title gets into the page as markup")
	}
	if n := strings.Count(s, "</script>"); n != 1 {
		t.Errorf("%d ends of script", n)
	}
}

func TestLibraryIsTheNamedOne(t *testing.T) {
	z, err := gzip.NewReader(bytes.NewReader(echartsGzip))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	readme, err := os.ReadFile("echarts/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), hex.EncodeToString(sum[:])) {
		t.Errorf("echarts/README.md does not name %x", sum)
	}
}

func TestSmoothed(t *testing.T) {
	// A constant stays what it is from the first value on, and a single outlier is damped.
	var p points
	for i := range 100 {
		p.put(float64(i+1), 2)
	}
	p.y[50] = 10
	s := smoothed(p, 100)
	for i := range 50 {
		if math.Abs(s.y[i]-2) > 1e-9 {
			t.Fatalf("step %d: %g", i+1, s.y[i])
		}
	}
	if s.y[50] > 5 || s.y[50] < 2.5 {
		t.Errorf("an outlier of 10 became %g", s.y[50])
	}
	if math.Abs(s.y[99]-2) > 0.01 {
		t.Errorf("still %g after 49 steps", s.y[99])
	}
}

func TestSmoothedRaggedSteps(t *testing.T) {
	// Logging every tenth step gives about the curve of logging every step.
	var dense, rare points
	for i := 1; i <= 200; i++ {
		y := 3 * math.Exp(-float64(i)/80)
		dense.put(float64(i), y)
		if i%10 == 0 {
			rare.put(float64(i), y)
		}
	}
	d, r := smoothed(dense, 200), smoothed(rare, 200)
	for i := 5; i < len(r.x); i++ {
		if a, b := d.y[int(r.x[i])-1], r.y[i]; math.Abs(a-b) > 0.12*a {
			t.Errorf("step %g: %g and %g", r.x[i], a, b)
		}
	}
}

func TestThin(t *testing.T) {
	var x, y []float64
	for i := range 100_000 {
		x, y = append(x, float64(i)), append(y, float64(i)*2)
	}
	tx, ty := thin(x, y, 800)
	if len(tx) != 800 || tx[799] != 99_999 || ty[799] != 199_998 {
		t.Fatalf("%d points, last %g, %g", len(tx), tx[len(tx)-1], ty[len(ty)-1])
	}
	for i := range tx {
		if math.Abs(ty[i]-2*tx[i]) > 1e-6 {
			t.Fatalf("point %d left the line: %g, %g", i, tx[i], ty[i])
		}
	}
	if sx, _ := thin(x[:10], y[:10], 800); len(sx) != 10 {
		t.Error("a short series was changed")
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct {
		low, high      float64
		rounded, whole bool
		ticks          []float64
	}{
		{0, 1, true, false, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{0.37, 2.9, true, false, []float64{0, 1, 2, 3}},
		{1, 120, false, true, []float64{25, 50, 75, 100}},
		{1, 3, false, true, []float64{1, 2, 3}},
		{2, 2, true, false, []float64{1.8, 1.9, 2, 2.1, 2.2}},
		{-0.1, 0.1, true, false, []float64{-0.1, -0.05, 0, 0.05, 0.1}},
		{0, 2e-4, true, false, []float64{0, 5e-5, 1e-4, 1.5e-4, 2e-4}},
	} {
		s := newScale(c.low, c.high, 5, c.rounded, c.whole)
		if len(s.ticks) != len(c.ticks) {
			t.Errorf("%g to %g: ticks %v, want %v", c.low, c.high, s.ticks, c.ticks)
			continue
		}
		for i := range s.ticks {
			if math.Abs(s.ticks[i]-c.ticks[i]) > 1e-12 || (s.ticks[i] == 0 && math.Signbit(s.ticks[i])) {
				t.Errorf("%g to %g: ticks %v, want %v", c.low, c.high, s.ticks, c.ticks)
			}
		}
	}
}

func TestLogScale(t *testing.T) {
	s := newLogScale(0.004, 17)
	s.from, s.to = 0, 5
	for i, want := range []float64{0.001, 0.01, 0.1, 1, 10, 100} {
		if s.ticks[i] != want || math.Abs(s.at(want)-float64(i)) > 1e-9 {
			t.Errorf("tick %d is %g at %g, want %g", i, s.ticks[i], s.at(want), want)
		}
	}
	if f := Loss(Curve{Events: course(24, 2.5, 0.5)}); f.Y[0].Log {
		t.Error("a loss from 2.5 to 0.5 needs no logarithm")
	}
	if f := figures()["steep"]; !f.Y[0].Log {
		t.Error("a loss from 40 to 0.8 is drawn on a linear axis")
	}
}

// Nothing that a broken run puts into its events may break its chart.
func TestNotANumber(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	events := []ftlib.Event{
		{Type: "step", Step: 1, Loss: &inf}, {Type: "step", Step: 2, Loss: &nan},
		{Type: "eval", Step: 2, Metrics: map[string]float64{"eval_loss": nan}},
	}
	f := Loss(Curve{Events: events})
	if _, err := f.HTML(); err != nil {
		t.Error(err)
	}
	b := Bars("x", Axis{}, []string{"a"}, Group{"g", []float64{nan}})
	if _, err := b.HTML(); err != nil {
		t.Error(err)
	}
}

func TestMetric(t *testing.T) {
	f := Metric("grad_norm", Curve{"a", []ftlib.Event{{Type: "step", Step: 1, GradNorm: 2}, {Type: "step", Step: 2, Metrics: map[string]float64{"grad_norm": 3}}}},
		Curve{"nothing", nil})
	if len(f.Series) != 1 || len(f.Series[0].Y) != 2 || f.Series[0].Y[1] != 3 {
		t.Errorf("%+v", f.Series)
	}
}

// A resumed run takes some steps again: the chart shows each step once.
func TestResumedRun(t *testing.T) {
	var events []ftlib.Event
	step := func(n int, loss float64) {
		events = append(events, ftlib.Event{Type: ftlib.EventStep, Step: n, Loss: &loss})
	}
	step(1, 3)
	step(2, 2.5)
	step(3, 9)
	events = append(events, ftlib.Event{Type: ftlib.EventResume, Step: 2})
	step(3, 2.2)
	if f := Loss(Curve{Events: events}); f.X.To != 3 {
		t.Errorf("the axis of a run that goes on ends at %g", f.X.To)
	}
	if f := Loss(Curve{Events: append(slices.Clone(events), ftlib.Event{Type: ftlib.EventEnd})}); f.X.To != 0 {
		t.Errorf("the axis of a run that is over is kept open to %g", f.X.To)
	}
	p := trainLoss(events)
	if len(p.x) != 3 || p.x[2] != 3 || p.y[2] != 2.2 {
		t.Errorf("points %v %v", p.x, p.y)
	}
}
