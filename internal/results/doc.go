// Command results trains the run files of docs/examples/methods on the teaching data with
// several seeds and writes what came of it to docs/results.md: scripts/results runs it.
//
// What a method is judged by is measured on rows that it is not trained on, before and after,
// by the same means: a run of one step with a learning rate of almost nothing validates the
// model that it begins with. What answers are like is judged by a rule that no method is
// trained on: how many of the polite and of the curt phrases of datasets/preferences they have.
//
// STaR is run on many problems and on few that the model gets wrong by habit, with
// rationalisation and without: after each round it is said how much it can.
package main
