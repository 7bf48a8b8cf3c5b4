package loss

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The slopes of every loss are checked by central differences on random input.

func random(rng *rand.Rand, rows, width int, from, to float64) Tokens {
	out := make(Tokens, rows)
	for i := range out {
		for range width {
			out[i] = append(out[i], from+(to-from)*rng.Float64())
		}
	}
	return out
}

// ragged is a mask of which every row has a prompt, a completion and padding.
func ragged(rng *rand.Rand, rows, width int) Tokens {
	out := make(Tokens, rows)
	for i := range out {
		out[i] = make([]float64, width)
		from := rng.IntN(width / 2)
		for t := from; t < from+1+rng.IntN(width/2); t++ {
			out[i][t] = 1
		}
	}
	return out
}

// checkSlope compares slopes with differences of the value, which f computes from x as it is.
func checkSlope(t *testing.T, x, slope Tokens, f func() float64) {
	t.Helper()
	const h = 1e-6
	for i := range x {
		for k := range x[i] {
			old := x[i][k]
			x[i][k] = old + h
			up := f()
			x[i][k] = old - h
			down := f()
			x[i][k] = old
			want := (up - down) / (2 * h)
			if math.Abs(slope[i][k]-want) > 1e-5*max(1, math.Abs(want)) {
				t.Fatalf("slope[%d][%d] is %.8g, differences give %.8g", i, k, slope[i][k], want)
			}
		}
	}
}

func TestSlopesOfDPO(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	half := 0.5
	for _, name := range DPOTypes {
		for _, divergence := range Divergences {
			for _, ld := range []*float64{nil, &half} {
				p := Pairs{LogP: random(rng, 6, 9, -3, -0.1), Ref: random(rng, 6, 9, -3, -0.1), Mask: ragged(rng, 6, 9)}
				d := DPO{LossType: []string{name, "sigmoid"}, LossWeights: []float64{0.7, 0.3}, Beta: 0.3, LabelSmoothing: 0.1, Divergence: divergence, LDAlpha: ld}
				t.Run(fmt.Sprint(name, " ", divergence, " ", ld != nil), func(t *testing.T) {
					r := must(d.Loss(p))
					checkSlope(t, p.LogP, r.Slope, func() float64 { return must(d.Loss(p)).Sum })
				})
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestSlopesOfReferenceFreeLosses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	p := Pairs{LogP: random(rng, 6, 9, -3, -0.1), Mask: ragged(rng, 6, 9)}
	o := ORPO{Beta: 0.3}
	checkSlope(t, p.LogP, must(o.Loss(p, nil)).Slope, func() float64 { return must(o.Loss(p, nil)).Sum })
	for _, name := range CPOTypes {
		for _, alpha := range []float64{0, 0.25} {
			c := CPO{LossType: name, Beta: 0.3, LabelSmoothing: 0.1, Alpha: alpha}
			checkSlope(t, p.LogP, must(c.Loss(p)).Slope, func() float64 { return must(c.Loss(p)).Sum })
		}
	}
}

func TestSlopesOfKTO(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	u := Unpaired{LogP: random(rng, 5, 9, -3, -0.1), Ref: random(rng, 5, 9, -3, -0.1), Mask: ragged(rng, 5, 9),
		Good: []bool{true, false, true, true, false}, KL: []float64{-3, -2}, KLRef: []float64{-3.5, -2.2}}
	for _, name := range KTOTypes {
		k := KTO{LossType: name, Beta: 0.4, DesirableWeight: 1.3}
		checkSlope(t, u.LogP, must(k.Loss(u)).Slope, func() float64 { return must(k.Loss(u)).Sum })
	}
}

func TestSlopesOfRewards(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	scores := random(rng, 1, 8, -2, 2)
	l := Reward{CenterRewards: 0.1}
	margin := []float64{0, 0.5, 1, 0.2}
	checkSlope(t, scores, Tokens{must(l.Loss(scores[0], margin)).Slope}, func() float64 { return must(l.Loss(scores[0], margin)).Sum })

	lists := Tokens{{0.3, -1, 2}, {1, 0.5}}
	list := Listwise{CenterRewards: 0.05}
	r := must(list.Loss(lists))
	checkSlope(t, lists, Tokens{r.Slope[:3], r.Slope[3:]}, func() float64 { return must(list.Loss(lists)).Sum })

	logits, labels := [][2]float64{{0.2, -1}, {1, 3}, {0, 0}}, []float64{1, 0, 0.25}
	_, slope, _, err := Steps(logits, labels)
	if err != nil {
		t.Fatal(err)
	}
	for i := range logits {
		flat := Tokens{{logits[i][0], logits[i][1]}}
		checkSlope(t, flat, Tokens{{slope[i][0], slope[i][1]}}, func() float64 {
			sum, _, _, _ := Steps([][2]float64{{flat[0][0], flat[0][1]}}, labels[i:i+1])
			return sum
		})
	}
}

func TestSlopesOfGRPO(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	delta := 1.4
	for _, name := range GRPOTypes {
		for _, level := range []string{"token", "sequence"} {
			for _, bias := range []bool{false, true} {
				// Cispo and vespo hold their weights still: their slopes are those of the surrogate, checked on-policy below.
				if name == "cispo" || name == "vespo" {
					continue
				}
				r := Rollouts{LogP: random(rng, 6, 9, -3, -0.1), Mask: ragged(rng, 6, 9), Advantages: []float64{1, -1, 0.4, -0.3, 0, 2}}
				r.Old, r.Ref = zeros(r.LogP), zeros(r.LogP)
				for i := range r.LogP {
					for k, v := range r.LogP[i] {
						r.Old[i][k], r.Ref[i][k] = v+0.4*rng.NormFloat64(), v+0.4*rng.NormFloat64()
					}
				}
				r.Entropy = random(rng, 6, 9, 0, 2)
				g := GRPO{LossType: name, Level: level, Beta: 0.1, Delta: &delta, MaxCompletionLength: 9, BiasCorrectionKL: bias, EntropyCoef: 0.1, TopEntropyQuantile: 0.8}
				out := must(g.Loss(r))
				checkSlope(t, r.LogP, out.Slope, func() float64 { return must(g.Loss(r)).Sum })
				g.TopEntropyQuantile = 1 // else a difference may change which tokens are chosen
				checkSlope(t, r.Entropy, must(g.Loss(r)).Entropy, func() float64 { return must(g.Loss(r)).Sum })
			}
		}
	}
	r := Rollouts{LogP: random(rng, 6, 9, -3, -0.1), Mask: ragged(rng, 6, 9), Advantages: []float64{1, -1, 0.4, -0.3, 0, 2}}
	r.Old = random(rng, 6, 9, -3, -0.1)
	l := RLOO{EpsilonLow: 0.5}
	checkSlope(t, r.LogP, must(l.Loss(r)).Slope, func() float64 { return must(l.Loss(r)).Sum })
}

// On-policy GRPO without scaling is REINFORCE with the group's mean as the baseline: the
// slope of every token is -A, whatever the clipping.
func TestOnPolicyIsREINFORCE(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	rewards := random(rng, 8, 1, 0, 1)
	s := must(Advantages{Group: 4, Scale: "none"}.Of(rewards))
	r := Rollouts{LogP: random(rng, 8, 9, -3, -0.1), Mask: ragged(rng, 8, 9), Advantages: s.Advantages}
	for _, name := range []string{"dapo", "bnpo", "cispo", "vespo"} {
		got := must(GRPO{LossType: name, EpsilonHigh: 5}.Loss(r))
		for i := range r.LogP {
			group := i / 4 * 4
			baseline := 0.0
			for _, other := range rewards[group : group+4] {
				baseline += other[0] / 4
			}
			for k, m := range r.Mask[i] {
				near(t, name, got.Slope[i][k], -m*(rewards[i][0]-baseline), 1e-12)
			}
		}
	}
}

func TestSlopesOfPPO(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, trl := range []bool{false, true} {
		p := PPO{EntropyCoef: 0.05, VFCoef: 0.3, WhitenRewards: true, TRL: trl}
		e := Experience{LogP: random(rng, 5, 7, -3, -0.1), Ref: random(rng, 5, 7, -3, -0.1), Values: random(rng, 5, 7, -1, 1),
			Length: []int{7, 3, 1, 5, 6}, Scores: []float64{1, -1, 0.5, 0, 2}}
		targets := must(p.Prepare(e))
		rows := []int{4, 0, 2}
		logp, values, entropy := random(rng, 3, 7, -3, -0.1), random(rng, 3, 7, -1, 1), random(rng, 3, 7, 0, 2)
		r := must(p.Loss(targets, rows, logp, values, entropy))
		f := func() float64 { return must(p.Loss(targets, rows, logp, values, entropy)).Sum }
		checkSlope(t, logp, r.Slope, f)
		checkSlope(t, values, r.Value, f)
		checkSlope(t, entropy, r.Entropy, f)
	}
}

// One epoch on fresh experience is policy gradient with GAE: the slope of a token is -A.
func TestPPOOnceIsPolicyGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	e := Experience{LogP: random(rng, 4, 6, -3, -0.1), Ref: random(rng, 4, 6, -3, -0.1), Values: random(rng, 4, 6, -1, 1),
		Length: []int{6, 2, 4, 5}, Scores: []float64{1, -1, 0.5, 0}}
	p := PPO{ClipRange: 1e9, KLCoef: 0.1}
	targets := must(p.Prepare(e))
	r := must(p.Loss(targets, []int{0, 1, 2, 3}, e.LogP, e.Values, nil))
	for i := range e.LogP {
		for k := range e.Length[i] {
			near(t, "slope", r.Slope[i][k], -targets.Advantages[i][k], 1e-12)
		}
	}
	// GAE by its definition: a sum over all later steps.
	for i := range e.LogP {
		for k := range e.Length[i] {
			want := 0.0
			for l := k; l < e.Length[i]; l++ {
				next := 0.0
				if l+1 < e.Length[i] {
					next = e.Values[i][l+1]
				}
				want += math.Pow(0.95, float64(l-k)) * (targets.Rewards[i][l] + next - e.Values[i][l])
			}
			near(t, "return", targets.Returns[i][k], want+e.Values[i][k], 1e-9)
		}
	}
}

func TestDPOAtStartIsLn2(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	p := Pairs{LogP: random(rng, 6, 9, -3, -0.1), Mask: ragged(rng, 6, 9)}
	p.Ref = p.LogP
	near(t, "loss", must(DPO{}.Loss(p)).Mean(), math.Ln2, 1e-15)
}

// The listwise loss of two is Bradley-Terry's.
func TestListOfTwoIsAPair(t *testing.T) {
	a := must(Listwise{}.Loss([][]float64{{0.7, -0.2}, {-1, 0.5}}))
	b := must(Reward{}.Loss([]float64{0.7, -1, -0.2, 0.5}, nil))
	near(t, "loss", a.Sum, b.Sum, 1e-14)
}

// Process supervision with one step at the end is outcome supervision.
func TestOneStepIsTheOutcome(t *testing.T) {
	rewards := [][]float64{{1}, {0}, {0.5}, {0}}
	got := must(StepAdvantages(rewards, [][]int{{2}, {4}, {0}, {3}}, []int{3, 5, 1, 4}, 4, true))
	want := must(Advantages{Group: 4}.Of(rewards))
	for i := range got {
		for _, a := range got[i] {
			near(t, "advantage", a, want.Advantages[i], 1e-12)
		}
	}
}

func TestBadInput(t *testing.T) {
	good := Tokens{{-1, -1}, {-1, -1}}
	for name, err := range map[string]error{
		"unknown type":      errOf(DPO{LossType: []string{"sigmoids"}}.Loss(Pairs{LogP: good, Ref: good, Mask: good})),
		"odd rows":          errOf(DPO{}.Loss(Pairs{LogP: good[:1], Ref: good[:1], Mask: good[:1]})),
		"shapes":            errOf(DPO{}.Loss(Pairs{LogP: good, Ref: Tokens{{-1}, {-1, -1}}, Mask: good})),
		"exo without noise": errOf(DPO{LossType: []string{"exo_pair"}}.Loss(Pairs{LogP: good, Ref: good, Mask: good})),
		"kto without kl":    errOf(KTO{}.Loss(Unpaired{LogP: good, Ref: good, Mask: good, Good: []bool{true, false}})),
		"group":             errOf(Advantages{Group: 3}.Of(good)),
		"dr_grpo":           errOf(GRPO{LossType: "dr_grpo"}.Loss(Rollouts{LogP: good, Mask: good, Advantages: []float64{1, 2}})),
		"margin":            errOf(Reward{}.Loss([]float64{1, 2}, []float64{1, 2})),
		"list of one":       errOf(Listwise{}.Loss([][]float64{{1}})),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }
