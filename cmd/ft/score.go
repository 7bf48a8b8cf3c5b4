package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
)

func init() { commands = append(commands, scoreCmd) }

func scoreCmd() *cobra.Command {
	var f modelFlags
	var in, logits string
	cmd := &cobra.Command{
		Use:   "score --model DIR --in BATCH.json",
		Short: "Compute the loss and log-probabilities of a batch of tokens",
		Long: `BATCH.json holds rows of one length S, as transformers takes them:

  {"input_ids": [[...], ...], "attention_mask": [[...], ...], "labels": [[...], ...]}

attention_mask (1: a token, 0: padding) and labels (-100: not counted) may be left out:
then all tokens are there, and all but the first of a row are labels. Positions count
from the left edge, padding included, and labels are shifted by one, as a model's
forward pass in transformers does. The output is

  {"loss": 2.1, "tokens": 57, "logprobs": [[null, -0.3, ...], ...]}

loss is the mean over labels in nats. logprobs[b][t] is the log-probability of the label
at t from what stands before it; null where there is none, and at t = 0. --logits writes
the logits too, a float32 tensor "logits" [B, S, V].`,
		Example: `  ft score --model models/tiny --in batch.json
  ft score --model models/tiny --adapter runs/NAME/step-200 --in batch.json --logits logits.safetensors`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := readScoreBatch(cmd, in)
			if err != nil {
				return err
			}
			m, err := f.load()
			if err != nil {
				return err
			}
			defer m.Close()
			out, err := b.score(m, logits)
			if err != nil {
				return err
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			return enc.Encode(out)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&in, "in", "", `the batch, a JSON file ("-": standard input)`)
	cmd.Flags().StringVar(&logits, "logits", "", "write the logits to this safetensors file")
	if err := cmd.MarkFlagRequired("in"); err != nil {
		panic(err)
	}
	return cmd
}

// scoreBatch is the input of ft score.
type scoreBatch struct {
	IDs    [][]int32 `json:"input_ids"`
	Mask   [][]int32 `json:"attention_mask"`
	Labels [][]int32 `json:"labels"`
}

// scored is its output.
type scored struct {
	Loss     *float64     `json:"loss"` // null without any label
	Tokens   int          `json:"tokens"`
	LogProbs [][]*float64 `json:"logprobs"`
}

func readScoreBatch(cmd *cobra.Command, path string) (*scoreBatch, error) {
	var data []byte
	var err error
	if path == "-" {
		data, err = io.ReadAll(cmd.InOrStdin())
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	b := &scoreBatch{}
	if err := json.Unmarshal(data, b); err != nil {
		return nil, usageErrorf("%s: %w", path, err)
	}
	if len(b.IDs) == 0 || len(b.IDs[0]) == 0 {
		return nil, usageErrorf("%s: input_ids is empty", path)
	}
	s := len(b.IDs[0])
	for name, rows := range map[string][][]int32{"input_ids": b.IDs, "attention_mask": b.Mask, "labels": b.Labels} {
		if rows == nil {
			continue
		}
		if len(rows) != len(b.IDs) {
			return nil, usageErrorf("%s: %s has %d rows, input_ids %d", path, name, len(rows), len(b.IDs))
		}
		for i, r := range rows {
			if len(r) != s {
				return nil, usageErrorf("%s: %s row %d has %d values, the first row of input_ids %d; rows must have one length: pad them, with attention_mask 0 and label -100", path, name, i, len(r), s)
			}
		}
	}
	return b, nil
}

// batch is the batch as the engine takes it. The target of position t is the label.
func (b *scoreBatch) batch() *corpus.Batch {
	out := &corpus.Batch{B: len(b.IDs), T: len(b.IDs[0])}
	for i, row := range b.IDs {
		for t, id := range row {
			seg := int32(1)
			if b.Mask != nil && b.Mask[i][t] == 0 {
				seg = 0
			}
			out.IDs = append(out.IDs, id)
			out.Pos = append(out.Pos, int32(t))
			out.Seg = append(out.Seg, seg)
			out.Mask = append(out.Mask, 0)
		}
	}
	return out
}

// label is what is to be predicted at a position; ok is false for none.
func (b *scoreBatch) label(i, t int) (label int32, ok bool) {
	if t == 0 {
		return 0, false
	}
	if b.Labels != nil {
		l := b.Labels[i][t]
		return l, l != -100
	}
	if b.Mask != nil && b.Mask[i][t] == 0 {
		return 0, false
	}
	return b.IDs[i][t], true
}

// plain says that every label is the token at its place, behind another token.
func (b *scoreBatch) plain() bool {
	for i := range b.IDs {
		for t := range b.IDs[i] {
			label, ok := b.label(i, t)
			if ok && (label != b.IDs[i][t] || (b.Mask != nil && (b.Mask[i][t] == 0 || b.Mask[i][t-1] == 0))) {
				return false
			}
		}
	}
	return true
}

func (b *scoreBatch) score(m *llm.Model, logitsPath string) (*scored, error) {
	v := m.Config.Vocab
	for i := range b.IDs {
		for t, id := range b.IDs[i] {
			if id < 0 || int(id) >= v {
				return nil, usageErrorf("input_ids row %d, position %d: %d is not in the vocabulary of %d", i, t, id, v)
			}
			if l, ok := b.label(i, t); ok && (l < 0 || int(l) >= v) {
				return nil, usageErrorf("labels row %d, position %d: %d is not in the vocabulary of %d", i, t, l, v)
			}
		}
	}
	e, err := llm.NewEngine(m, llm.EngineOptions{})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	batch := b.batch()
	var logits, own []float32
	if logitsPath == "" && b.plain() { // logits of all positions need not exist at once
		own, err = e.LogProbs(batch)
	} else {
		logits, err = e.Logits(batch)
	}
	if err != nil {
		return nil, err
	}
	out, sum := &scored{}, 0.0
	for i := range b.IDs {
		row := make([]*float64, batch.T)
		for t := range row {
			label, ok := b.label(i, t)
			if !ok {
				continue
			}
			var lp float64
			if own != nil {
				lp = float64(own[i*batch.T+t])
			} else {
				from := (i*batch.T + t - 1) * v
				lp = logSoftmax(logits[from:from+v], int(label))
			}
			row[t] = &lp
			sum += lp
			out.Tokens++
		}
		out.LogProbs = append(out.LogProbs, row)
	}
	if out.Tokens > 0 {
		loss := -sum / float64(out.Tokens)
		out.Loss = &loss
	}
	if logitsPath == "" {
		return out, nil
	}
	data := make([]byte, 4*len(logits))
	for i, x := range logits {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(x))
	}
	t := safetensors.Tensor{Name: "logits", DType: safetensors.F32, Shape: []int{batch.B, batch.T, v}, Data: data}
	if err := safetensors.Write(logitsPath, []safetensors.Tensor{t}, nil); err != nil {
		return nil, fmt.Errorf("--logits: %w", err)
	}
	return out, nil
}

// logSoftmax is the log-probability of one entry of a row of logits.
func logSoftmax(row []float32, at int) float64 {
	top := math.Inf(-1)
	for _, x := range row {
		top = max(top, float64(x))
	}
	sum := 0.0
	for _, x := range row {
		sum += math.Exp(float64(x) - top)
	}
	return float64(row[at]) - top - math.Log(sum)
}
