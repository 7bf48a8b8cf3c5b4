package main

// kernelBenches measure what stands between a cell and its tensors: names with a ratio
// to the same work in process, or with the milliseconds that somebody waits.
var kernelBenches = []bench{
	{"step_ratio", func(o options) (result, error) { return stepRatio("step_ratio", o.model, 1, 16, o) }},
	{"step_ratio_short", stepRatioShort},
	{"new_cell", func(o options) (result, error) { return waits("new_cell", o) }},
	{"edited_cell", func(o options) (result, error) { return waits("edited_cell", o) }},
	{"second_process_first_step", secondProcess},
	{"start_to_result", func(o options) (result, error) { return waits("start_to_result", o) }},
	{"step_ratio_long", func(o options) (result, error) { return stepRatio("step_ratio_long", o.model, 3, 64, o) }},
}

// stepRatioShort is of a step that takes a millisecond or two: what a session adds to every
// step shows most in it.
func stepRatioShort(o options) (result, error) {
	return stepRatio("step_ratio_short", "XS", 1, 16, o)
}
