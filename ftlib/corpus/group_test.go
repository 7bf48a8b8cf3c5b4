package corpus

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// Ids and labels of steps are those of TRL's PRMTrainer; what it trains without any label is
// refused.
func TestGoldenPRMLabels(t *testing.T) {
	var g struct {
		Cases []struct {
			Eval          bool   `json:"is_eval"`
			MaxCompletion *int   `json:"max_completion_length"`
			MaxLength     *int   `json:"max_length"`
			Separator     string `json:"separator"`
			Tokenizer     string `json:"tokenizer"`
			LastOnly      bool   `json:"train_on_last_step_only"`
			Rows          []struct {
				IDs    []int32 `json:"input_ids"`
				Labels []int   `json:"labels"`
			} `json:"rows"`
		} `json:"cases"`
		Rows []struct {
			Prompt      string   `json:"prompt"`
			Completions []string `json:"completions"`
			Labels      []bool   `json:"labels"`
		} `json:"rows"`
	}
	testkit.GoldenJSON(t, "losses/prm_labels.json", &g)
	refused := 0
	for i, c := range g.Cases {
		tok, err := token.Load(filepath.Dir(testkit.Golden(t, "tokenizers/"+c.Tokenizer+"/tokenizer.json")))
		if err != nil {
			t.Fatal(err)
		}
		s := StepOptions{Separator: c.Separator, LastOnly: c.LastOnly && !c.Eval}
		var o EncodeOptions
		if c.MaxCompletion != nil {
			s.MaxCompletion = *c.MaxCompletion
		}
		if c.MaxLength != nil {
			o.MaxLength = *c.MaxLength
		}
		for k, row := range g.Rows {
			ex, ends, err := EncodeSteps(tok, row.Prompt, row.Completions, s, o)
			want := c.Rows[k]
			if !slices.Equal(ex.IDs, want.IDs) {
				t.Errorf("case %d row %d: ids %v, want %v", i, k, ex.IDs, want.IDs)
				continue
			}
			labels := make([]int, len(ex.IDs))
			for j := range labels {
				labels[j] = -100
			}
			first := 0
			if s.LastOnly {
				first = len(row.Labels) - 1
			}
			for j, end := range ends {
				labels[end] = 0
				if row.Labels[first+j] {
					labels[end] = 1
				}
			}
			if !slices.Equal(labels, want.Labels) {
				t.Errorf("case %d row %d: labels %v, want %v", i, k, labels, want.Labels)
			}
			none := !slices.ContainsFunc(want.Labels, func(l int) bool { return l != -100 })
			r, isRefusal := errors.AsType[*Refusal](err)
			if none != isRefusal || none && r.Reason != LabelsCut {
				t.Errorf("case %d row %d: no label is left: %v, error %v", i, k, none, err)
			}
			if none {
				refused++
			}
		}
	}
	if len(g.Cases) == 0 || refused == 0 {
		t.Errorf("%d cases, %d refused rows", len(g.Cases), refused)
	}
}

func TestGroups(t *testing.T) {
	tok := newWordTok()
	text := func(s string) Content { return Content{Text: s} }
	o := GroupOptions{Spans: SpanOptions{EOS: "</s>"}}
	pair := Record{Kind: KindPreference, Prompt: text("a "), Chosen: text("b c"), Rejected: text("d")}
	got, err := EncodeGroups(tok, pair, nil, PairShape, o)
	if err != nil || len(got) != 1 || len(got[0].Seqs) != 2 {
		t.Fatal(got, err)
	}
	if got, err = EncodeGroups(tok, pair, nil, UnpairedShape, o); err != nil || len(got) != 2 || !got[0].Good || got[1].Good {
		t.Fatal(got, err)
	}
	ranking := Record{Kind: KindRanking, Prompt: text("a "), Responses: []Response{{"worst", 3}, {"best", 1}, {"also", 3}}}
	if got, err = EncodeGroups(tok, ranking, nil, PairShape, o); err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	if got, err = EncodeGroups(tok, ranking, nil, RankingShape, o); err != nil || len(got) != 1 || len(got[0].Seqs) != 3 {
		t.Fatal(got, err)
	}
	best, _ := EncodeRecord(tok, Record{Kind: KindCompletion, Prompt: text("a "), Completion: text("best")}, nil, o.Spans, o.Encode)
	if !slices.Equal(got[0].Seqs[0].IDs, best.IDs) {
		t.Errorf("the best comes first: %v, want %v", got[0].Seqs[0].IDs, best.IDs)
	}
	for _, r := range []Record{{Kind: KindText, Text: "x"}, {Kind: KindRanking, Prompt: text("a "), Responses: []Response{{"x", 1}, {"y", 1}}}} {
		if _, err := EncodeGroups(tok, r, nil, PairShape, o); err == nil {
			t.Errorf("a row of kind %s is no pair", r.Kind)
		}
	}
}

// A batch of groups has block after block, each row padded alone.
func TestGroupBatches(t *testing.T) {
	ex := func(ids ...int32) Example {
		return Example{IDs: ids, Train: []bool{true, true, true, true, true}[:len(ids)]}
	}
	groups := []Group{{Seqs: []Example{ex(1, 2, 3), ex(4, 5)}}, {Seqs: []Example{ex(6), ex(7, 8, 9, 10)}}, {Seqs: []Example{ex(11, 12)}}}
	b, err := NewGroupBatches(groups, BatchOptions{Size: 2, NoShuffle: true})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for {
		batch, ok := b.Next()
		if !ok {
			break
		}
		if batch.B != 4 {
			t.Fatalf("%d rows, want two blocks of two", batch.B)
		}
		for r, i := range batch.Rows {
			seen[i] = true
			for k, s := range groups[i].Seqs {
				row := batch.Part(k*2+r, k*2+r+1)
				if !slices.Equal(row.IDs[:len(s.IDs)], s.IDs) || row.Tokens() != len(s.IDs) || int(row.Trained()) != len(s.IDs)-1 {
					t.Errorf("group %d sequence %d is %v", i, k, row)
				}
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("groups %v were dealt", seen)
	}
	if _, err := NewGroupBatches(groups, BatchOptions{Packing: true}); err == nil {
		t.Error("groups are not packed")
	}
}
