// Command bench measures FTLab side by side with its peers (PEFT, TRL, transformers on
// torch) in one interleaved run: both are kept ready, take turns in short rounds, and
// the medians of their rounds are compared, so that what else the machine does touches
// both alike. With -kernel it measures the kernel instead: a training step through the
// device server beside the same step in process, and what a cell waits for. It is
// started by scripts/bench.
package main
