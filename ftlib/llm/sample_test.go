package llm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/internal/testkit"
)

// processors are transformers' logits processors in plain Go, in its order. It returns
// log-probabilities of the distribution that is drawn from; -Inf for what is left out.
func processors(logits []float32, seen map[int]bool, o Sampling) []float64 {
	s := make([]float64, len(logits))
	for i, x := range logits {
		s[i] = float64(x)
		if seen[i] && x < 0 {
			s[i] *= o.RepetitionPenalty
		} else if seen[i] {
			s[i] /= o.RepetitionPenalty
		}
		s[i] /= o.Temperature
	}
	drop := func(bad func(i int) bool) {
		var out []int
		for i := range s {
			if bad(i) {
				out = append(out, i)
			}
		}
		for _, i := range out {
			s[i] = math.Inf(-1)
		}
	}
	if o.TopK > 0 { // scores < topk(scores, k)[-1]
		sorted := append([]float64{}, s...)
		sort.Sort(sort.Reverse(sort.Float64Slice(sorted)))
		last := sorted[min(o.TopK, len(s))-1]
		drop(func(i int) bool { return s[i] < last })
	}
	if o.TopP < 1 { // ascending: cumulative softmax <= 1 - p, but never the best
		order := make([]int, len(s))
		for i := range order {
			order[i] = i
		}
		sort.Slice(order, func(a, b int) bool { return s[order[a]] < s[order[b]] })
		p, sum := logSoftmaxAll(s), 0.0
		gone := map[int]bool{}
		for _, i := range order[:len(order)-1] {
			if sum += math.Exp(p[i]); sum <= 1-o.TopP {
				gone[i] = true
			}
		}
		drop(func(i int) bool { return gone[i] })
	}
	if o.MinP > 0 { // probs < min_p * max(probs)
		p := logSoftmaxAll(s)
		top := math.Inf(-1)
		for _, v := range p {
			top = max(top, v)
		}
		drop(func(i int) bool { return math.Exp(p[i]) < o.MinP*math.Exp(top) })
	}
	return logSoftmaxAll(s)
}

func logSoftmaxAll(s []float64) []float64 {
	top, sum := math.Inf(-1), 0.0
	for _, v := range s {
		top = max(top, v)
	}
	for _, v := range s {
		sum += math.Exp(v - top)
	}
	out := make([]float64, len(s))
	for i, v := range s {
		out[i] = v - top - math.Log(sum)
	}
	return out
}

// drawer runs the sampler of a mode over logits that rows share.
type drawer struct {
	t *testing.T
	p *program
}

func newDrawer(t *testing.T, mode sampleMode) drawer {
	p, err := newProgram(testkit.Backend(t), "sampler", func(flat []*Node) []*Node {
		in := &nodes{flat}
		logits, count := in.next(), in.next()
		var seen *Node
		if mode == filtering {
			seen = in.next()
		}
		token, logp, drawn := readSampler(mode, in).pick(logits, seen, count)
		return []*Node{token, logp, drawn}
	})
	if err != nil {
		t.Fatal(err)
	}
	return drawer{t, p}
}

// draw gives one token a row of logits [B][V].
func (d drawer) draw(logits [][]float32, seen [][]bool, seeds []uint64, count int, o Sampling) (tokens []int32, logp, drawn []float32) {
	b := len(logits)
	fill := func(v float64) []float32 {
		out := make([]float32, b)
		for i := range out {
			out[i] = float32(v)
		}
		return out
	}
	var words [][]int32
	k := make([]int32, b)
	for i, s := range seeds {
		words = append(words, []int32{int32(uint32(s)), int32(uint32(s >> 32))})
		k[i] = int32(o.TopK)
	}
	args := []any{logits, int32(count)}
	if seen != nil {
		args = append(args, seen)
	}
	args = append(args, fill(o.Temperature), words)
	if seen != nil {
		args = append(args, k, fill(o.TopP), fill(o.MinP), fill(o.RepetitionPenalty))
	}
	var ts []*tensors.Tensor
	for _, a := range args {
		x, err := tensors.FromAnyValue(a)
		if err != nil {
			d.t.Fatal(err)
		}
		ts = append(ts, x)
	}
	out, err := d.p.call(ts)
	if err != nil {
		d.t.Fatal(err)
	}
	tokens, _ = ints(out[0])
	logp, _ = floats(out[1])
	drawn, _ = floats(out[2])
	return tokens, logp, drawn
}

func randomLogits(rng *rand.Rand, v int) []float32 {
	out := make([]float32, v)
	for i := range out {
		out[i] = float32(3 * rng.NormFloat64())
	}
	return out
}

// TestProcessorsMatchReference draws many tokens of each setting: each must be one that
// the reference leaves, with the reference's log-probabilities.
func TestProcessorsMatchReference(t *testing.T) {
	const b, v = 64, 300
	rng := rand.New(rand.NewPCG(1, 2))
	d := newDrawer(t, filtering)
	base := Sampling{Temperature: 1, TopP: 1, RepetitionPenalty: 1}
	settings := []Sampling{base}
	for _, change := range []func(o *Sampling){
		func(o *Sampling) { o.Temperature = 0.5 }, func(o *Sampling) { o.Temperature = 3 },
		func(o *Sampling) { o.TopK = 1 }, func(o *Sampling) { o.TopK = 7 }, func(o *Sampling) { o.TopK = v + 5 },
		func(o *Sampling) { o.TopP = 0.9 }, func(o *Sampling) { o.TopP = 0.3 }, func(o *Sampling) { o.TopP = 1e-6 },
		func(o *Sampling) { o.MinP = 0.1 }, func(o *Sampling) { o.MinP = 1 },
		func(o *Sampling) { o.RepetitionPenalty = 1.7 }, func(o *Sampling) { o.RepetitionPenalty = 0.6 },
		func(o *Sampling) {
			o.Temperature, o.TopK, o.TopP, o.MinP, o.RepetitionPenalty = 1.4, 40, 0.8, 0.05, 1.3
		},
	} {
		o := base
		change(&o)
		settings = append(settings, o)
	}
	for n, o := range settings {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var logits [][]float32
			var seen [][]bool
			var seeds []uint64
			seenSet := map[int]bool{}
			seenRow := make([]bool, v)
			for range 30 {
				i := rng.IntN(v)
				seenSet[i], seenRow[i] = true, true
			}
			row := randomLogits(rng, v)
			for i := range b {
				logits, seen, seeds = append(logits, row), append(seen, seenRow), append(seeds, RowSeed(9, i))
			}
			want := processors(row, seenSet, o)
			raw := logSoftmaxAll(float64s(row))
			for count := range 4 {
				tokens, logp, drawn := d.draw(logits, seen, seeds, count, o)
				for i, id := range tokens {
					if math.IsInf(want[id], 0) {
						t.Fatalf("%+v: token %d is left out by the reference", o, id)
					}
					if math.Abs(float64(drawn[i])-want[id]) > 1e-4 || math.Abs(float64(logp[i])-raw[id]) > 1e-4 {
						t.Fatalf("%+v: token %d: log-probabilities %v %v, want %v %v", o, id, logp[i], drawn[i], raw[id], want[id])
					}
				}
			}
		})
	}
}

func float64s(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// TestSamplesFollowTheDistribution is a chi-square test with fixed seeds.
func TestSamplesFollowTheDistribution(t *testing.T) {
	const b, rounds, v = 512, 40, 23
	rng := rand.New(rand.NewPCG(3, 4))
	row := make([]float32, v)
	for i := range row {
		row[i] = float32(rng.NormFloat64())
	}
	for _, c := range []struct {
		mode sampleMode
		o    Sampling
	}{{plain, Sampling{Temperature: 0.8, TopP: 1, RepetitionPenalty: 1}}, {filtering, Sampling{Temperature: 1.1, TopK: 12, TopP: 0.9, RepetitionPenalty: 1}}} {
		want := processors(row, nil, c.o)
		var logits [][]float32
		var seen [][]bool
		var seeds []uint64
		for i := range b {
			logits, seeds = append(logits, row), append(seeds, RowSeed(5, i))
			if c.mode == filtering {
				seen = append(seen, make([]bool, v))
			}
		}
		d := newDrawer(t, c.mode)
		hits := make([]float64, v)
		for count := range rounds { // the counter and the seed both make draws independent
			tokens, _, _ := d.draw(logits, seen, seeds, count, c.o)
			for _, id := range tokens {
				hits[id]++
			}
		}
		chi, df := 0.0, -1.0
		for i := range hits {
			if math.IsInf(want[i], 0) {
				if hits[i] > 0 {
					t.Errorf("mode %d: token %d was drawn %v times; it is left out", c.mode, i, hits[i])
				}
				continue
			}
			expect := math.Exp(want[i]) * b * rounds
			chi += (hits[i] - expect) * (hits[i] - expect) / expect
			df++
		}
		if limit := df + 4*math.Sqrt(2*df); chi > limit { // far in the tail
			t.Errorf("mode %d: chi-square %.1f with %v degrees of freedom, limit %.1f", c.mode, chi, df, limit)
		}
	}
}

func TestDrawsDependOnSeedAndCountAlone(t *testing.T) {
	const v = 1000
	rng := rand.New(rand.NewPCG(5, 6))
	d := newDrawer(t, plain)
	o := Sampling{Temperature: 1}
	var logits [][]float32
	var seeds []uint64
	for i := range 16 {
		logits, seeds = append(logits, randomLogits(rng, v)), append(seeds, uint64(i)<<32|7)
	}
	all, _, _ := d.draw(logits, nil, seeds, 3, o)
	same := 0
	for i := range logits {
		alone, _, _ := d.draw(logits[i:i+1], nil, seeds[i:i+1], 3, o)
		if alone[0] != all[i] {
			t.Errorf("row %d: %d alone, %d in a batch", i, alone[0], all[i])
		}
		other, _, _ := d.draw(logits[i:i+1], nil, seeds[i:i+1], 4, o)
		if other[0] == all[i] {
			same++
		}
	}
	if same > 8 {
		t.Errorf("%d of 16 draws did not change with the count", same)
	}
}

func TestColdRowsTakeTheBest(t *testing.T) {
	d := newDrawer(t, filtering)
	tokens, _, drawn := d.draw([][]float32{{1, 3, 2}, {1, 3, 2}}, [][]bool{{false, true, false}, {false, false, false}}, []uint64{1, 2}, 0,
		Sampling{TopP: 1, RepetitionPenalty: 2})
	if tokens[0] != 2 || tokens[1] != 1 || drawn[0] != 0 {
		t.Errorf("%v %v: the penalty halves 3, so that 2 is the best of the first row", tokens, drawn)
	}
}
