package corpus

import (
	"testing"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// On real rows padding stays below 15 % with at most eight shapes, packing leaves less
// than 5 % empty, and no row is refused.
func TestBatchesOnRealData(t *testing.T) {
	dir := testkit.SharedData(t, "tokenizers/tinyllama")
	tok, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := chat.ForTokenizer(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"gsm8k/train.parquet", "chat/oa_guanaco_generations_gpt35.jsonl"} {
		path := testkit.SharedData(t, file)
		m, err := Recognise(Open(path, OpenOptions{}), Want{})
		if err != nil {
			t.Fatal(err)
		}
		var audit Audit
		var examples []Example
		for row, err := range Open(path, OpenOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			rec, err := Format(row, m)
			if err != nil {
				t.Fatal(err)
			}
			ex, err := EncodeRecord(tok, rec, tmpl, SpanOptions{}, EncodeOptions{MaxLength: 1024})
			if audit.Add(ex, err) {
				examples = append(examples, ex)
			}
		}
		if err := audit.Err(Limits{}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		b := NewBatches(examples, BatchOptions{Size: 8})
		if p, n := b.Padding(), len(b.Buckets()); p > 0.15 || n > 8 {
			t.Errorf("%s: %.1f %% padding with lengths %v", file, 100*p, b.Buckets())
		}
		packed := NewBatches(examples, BatchOptions{Size: 8, Packing: true, MaxLength: 1024})
		if p := packed.Padding(); p > 0.05 {
			t.Errorf("%s: packing leaves %.1f %% empty", file, 100*p)
		}
		t.Logf("%s: %s; padding %.1f %%, packed %.1f %%", file, audit.String(), 100*b.Padding(), 100*packed.Padding())
	}
}
