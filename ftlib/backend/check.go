package backend

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Check is what training on a backend for about a second gave.
type Check struct {
	Backend         string  `json:"backend"` // as it describes itself: plugin, version of its interface, devices
	Loss            float64 `json:"loss"`    // after checkSteps steps
	Want            float64 `json:"want"`    // the known number
	Right           bool    `json:"right"`   // Loss is Want within checkTolerance
	FirstStep       float64 `json:"first"`   // seconds, with compilation
	Step            float64 `json:"step"`    // seconds, the median later
	TokensPerSecond float64 `json:"tokens_per_second"`
}

// The check trains a next-token model with one hidden layer, large enough that
// matrix products take most of the time: loss = cross-entropy of
// relu(E[id] W1) W2 against the next token, plain gradient descent. All starting
// values come from a formula, so that the same number can be computed otherwise; the
// test of this file does, in float64 and with gradients written by hand.
const (
	checkTokens = 512 // in the batch
	checkVocab  = 64
	checkWidth  = 128
	checkHidden = 512
	checkRate   = 0.5
	checkSteps  = 5

	checkLoss      = 1.968082952 // computed by the test in float64
	checkTolerance = 2e-3        // float32, with TF32 products on a GPU
)

// checkWeights returns the starting value of weight number i of tensor k: between
// -scale and scale, scattered as if by chance.
func checkWeights(k, i int, scale float64) float64 {
	x := math.Sin(78.233*float64(k+1)+12.9898*float64(i+1)) * 43758.5453
	return scale * (2*(x-math.Floor(x)) - 1)
}

// checkIDs returns the token at position i, and the one to predict from it.
func checkIDs(i int) (id, next int) {
	return (i*i + 3*i) % checkVocab, (5*i*i + 11*i + 7) % checkVocab
}

// Try trains a small model on b for about a second and compares its loss with the
// known number. An error means that b cannot compute at all.
func Try(b compute.Backend) (c Check, err error) {
	defer func() {
		if r := recover(); r != nil { // graph building and execution panic
			err = fmt.Errorf("backend: training on %s: %v", b.Name(), r)
		}
	}()
	c.Backend, c.Want = b.Description(), checkLoss
	step, err := NewExec(b, checkStep)
	if err != nil {
		return c, fmt.Errorf("backend: training on %s: %w", b.Name(), err)
	}
	weight := func(k, rows, cols int, scale float64) *tensors.Tensor {
		flat := make([]float32, rows*cols)
		for i := range flat {
			flat[i] = float32(checkWeights(k, i, scale))
		}
		return tensors.FromFlatDataAndDimensions(flat, rows, cols)
	}
	weights := []*tensors.Tensor{
		weight(0, checkVocab, checkWidth, 1),
		weight(1, checkWidth, checkHidden, 0.1),
		weight(2, checkHidden, checkVocab, 0.1),
	}
	ids, next := make([]int32, checkTokens), make([]int32, checkTokens)
	for i := range ids {
		a, b := checkIDs(i)
		ids[i], next[i] = int32(a), int32(b)
	}
	start := time.Now()
	var times []float64
	for n := 0; n <= checkSteps || time.Since(start) < time.Second; n++ {
		began := time.Now()
		out, err := step.Call(weights[0], weights[1], weights[2], ids, next, float32(checkRate))
		if err != nil {
			return c, fmt.Errorf("backend: training on %s: %w", b.Name(), err)
		}
		loss := float64(tensors.ToScalar[float32](out[0]))
		weights = out[1:]
		if took := time.Since(began).Seconds(); n == 0 {
			c.FirstStep = took
		} else {
			times = append(times, took)
		}
		if n == checkSteps {
			c.Loss = loss
		}
	}
	c.Step = median(times)
	c.TokensPerSecond = checkTokens / c.Step
	c.Right = math.Abs(c.Loss-c.Want) < checkTolerance
	return c, nil
}

// checkStep is one step: from e, w1, w2, ids, next and the rate to the loss before
// the step and the three weights after it.
func checkStep(in []*Node) []*Node {
	e, w1, w2, ids, next, rate := in[0], in[1], in[2], in[3], in[4], in[5]
	x := Gather(e, InsertAxes(ids, -1))                            // [N, D]
	h := Max(MatMul(x, w1), ScalarZero(x.Graph(), dtypes.Float32)) // [N, H]
	logits := MatMul(h, w2)                                        // [N, V]
	top := StopGradient(ReduceAndKeep(logits, ReduceMax, -1))
	logits = Sub(logits, top)
	logSum := Log(ReduceSum(Exp(logits), -1)) // [N]
	picked := ReduceSum(Mul(logits, OneHot(next, checkVocab, dtypes.Float32)), -1)
	loss := ReduceAllMean(Sub(logSum, picked))
	grads := Gradient(loss, e, w1, w2)
	return []*Node{loss, Sub(e, Mul(rate, grads[0])), Sub(w1, Mul(rate, grads[1])), Sub(w2, Mul(rate, grads[2]))}
}

func median(x []float64) float64 {
	sorted := slices.Sorted(slices.Values(x))
	return sorted[len(sorted)/2]
}
