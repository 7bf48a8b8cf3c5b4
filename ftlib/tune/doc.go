// Package tune says HOW a run is trained: one loop for every method.
//
// [Run] takes a specification ([ftlib.Run]), opens the model and the data, refuses
// rows that would train something silently wrong, and drives a [Stepper] through
// gradient accumulation, the learning-rate schedule, validation and checkpoints.
// Everything that happens is an [ftlib.Event] given to a sink: the same events are
// the lines of metrics.jsonl, the progress bar and the chart.
//
// A run that was interrupted, killed or stopped goes on from its last checkpoint as
// if nothing had happened: weights, moments, data order and metrics are equal bit
// for bit with a run that was never stopped, on the same machine.
//
// [Score], [Questions] and [Match] look at a model as training would: at the tokens
// that are trained, and at the prompts before them.
//
// [LabelSteps] labels the steps of solutions by completing them; [ScoreSteps], [BestOfN] and
// [Margins] measure what process and outcome reward models are worth.
//
// [Loop] is the loop alone, for a Stepper of one's own.
package tune
