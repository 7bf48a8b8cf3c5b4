package tune

import "strings"

// loraPlus lets the B matrices of adapters learn faster: lr_B = ratio·lr_A (Hayou et al.
// 2024). Groups of weights become ones of B matrices and ones of the rest, as a step of
// the optimizer has one learning rate. PEFT's create_loraplus_optimizer lets vectors
// (biases, magnitudes) learn at lr_B too; so does this.
func (s *trainer) loraPlus(ratio float64) {
	s.plus = ratio
	if ratio == 0 || ratio == 1 {
		return
	}
	var groups [][]string
	for _, names := range s.groups {
		var up, rest []string
		for _, name := range names {
			if isUp(name) {
				up = append(up, name)
			} else {
				rest = append(rest, name)
			}
		}
		for _, g := range [][]string{rest, up} {
			if len(g) > 0 {
				groups = append(groups, g)
			}
		}
	}
	s.groups = groups
}

// isUp says whether a weight learns at LoRA+'s rate.
func isUp(name string) bool {
	return strings.Contains(name, ".lora_B") || strings.HasSuffix(name, ".lora_m") || strings.HasSuffix(name, ".bias")
}
