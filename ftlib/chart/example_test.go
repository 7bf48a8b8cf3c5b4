package chart_test

import (
	"fmt"

	"ftlab/ftlib"
	"ftlab/ftlib/chart"
)

func ExampleLoss() {
	var events []ftlib.Event
	for i, loss := range []float64{2.4, 1.9, 1.5, 1.3} {
		events = append(events, ftlib.Event{Type: ftlib.EventStep, Step: i + 1, Loss: &loss})
	}
	events = append(events, ftlib.Event{Type: ftlib.EventEval, Step: 4, Metrics: map[string]float64{"eval_loss": 1.4}})
	fmt.Print(chart.Loss(chart.Curve{Events: events}).Text())
	// Output:
	// Loss · validation 1.4 at step 4
	//   training         2.4 █▅▃▁ 1.567
	//   validation       1.4 ▄ 1.4
}

func ExampleBars() {
	f := chart.Bars("Right answers", chart.Axis{Unit: chart.Share}, []string{"before", "after"},
		chart.Group{Name: "accuracy", Values: []float64{0.25, 0.95}})
	fmt.Print(f.Text())
	// Output:
	// Right answers
	//   accuracy
	//     before   ███████▌                       25.0 %
	//     after    ████████████████████████████▌  95.0 %
}
