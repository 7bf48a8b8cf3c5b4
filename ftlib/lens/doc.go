// Package lens is two laboratories: what quantization does to weights and to what a model
// says, and what rank, scale, magnitude and direction an update of weights has.
//
//	report, err := lens.Quantization(m, lens.QuantOptions{})       // error by weight and format
//	drifts, err := lens.Drifts(m, nil, lens.BatchOf(tok, text))    // KL and logits against m in full
//
//	change := lens.Adapter(m, a)                                   // or lens.Models(before, after)
//	spectra, err := change.Spectra(0)                              // effective rank, what rank r keeps
//	turns, err := change.Turns()                                   // magnitude and direction, as DoRA's paper has them
//	parts, err := lens.PiSSA(m, 16, lens.PiSSAOptions{})           // what the first 16 directions hold
//	rows := lens.Scaling(lens.ScalingOptions{})                    // lora_alpha/r against lora_alpha/√r
//
// Results are plain structs: they encode to JSON, kernel/notebook's Table shows slices of
// them, and the functions that end in Figure make charts of them. All arithmetic is in
// float64 on the host; nothing is trained.
package lens
