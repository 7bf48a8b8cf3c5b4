// Package plan says beforehand what a run needs: memory, time and money. It is plain
// arithmetic: it loads no model, opens no backend and knows no GoMLX.
//
//	shape, err := plan.FindShape("Llama-2-7b")         // or a model directory
//	setup := plan.SetupOf(run, shape, plan.Machine{})  // what decides memory and time
//	ledger := plan.Memory(setup)                       // who holds how many bytes, and when
//	device, err := plan.FindDevice("rtx3060")          // devices.yaml: memory, rates, prices
//	cost := plan.Cost(setup, device, plan.Work{Rows: 10000, Tokens: 300})
//	advice := plan.Fit(run, shape, device)             // if it does not fit: settings that will
//
// [Report] is all of it at once: what `ft plan`, `%ft plan` and notebook.Plan show. [Decide]
// is the decision tree, which ends in a run that is ready to train. [Guide] holds the tables
// of a widely read guide as data, and [Compare] says which of its rows agree with the model.
//
// The memory of FTLab itself is a sum of buffers that are known exactly (weights, adapters,
// gradients, moments, saved activations, caches) and of three things that were measured: what
// a program takes while it runs, what compiling leaves behind, and the process. The time is
// floating-point operations over a rate: calibrated on this machine, or, for a GPU, its peak
// rate times the share of it that published runs of other programs reach. docs/memory.md
// sets both beside measurements.
package plan
