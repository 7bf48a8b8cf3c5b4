package tune

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// letters is a tokenizer of single characters with <s> and </s>, and the model
// directory that it lies in.
func letters(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	vocab := map[string]int{"<unk>": 0, "<s>": 1, "</s>": 2}
	for _, r := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,?!#:\n▁" {
		vocab[string(r)] = len(vocab)
	}
	special := func(id int, s string) map[string]any {
		return map[string]any{"id": id, "content": s, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
	}
	tok := map[string]any{
		"version": "1.0", "added_tokens": []any{special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")},
		"normalizer": nil, "pre_tokenizer": nil, "decoder": map[string]any{"type": "Fuse"},
		"post_processor": map[string]any{
			"type": "TemplateProcessing", "single": []any{
				map[string]any{"SpecialToken": map[string]any{"id": "<s>", "type_id": 0}}, map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}},
			"pair":           []any{},
			"special_tokens": map[string]any{"<s>": map[string]any{"id": "<s>", "ids": []int{1}, "tokens": []string{"<s>"}}},
		},
		"model": map[string]any{"type": "BPE", "unk_token": "<unk>", "byte_fallback": false, "vocab": vocab, "merges": []any{}},
	}
	write := func(name string, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("tokenizer.json", tok)
	write("tokenizer_config.json", map[string]any{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": true, "model_max_length": 64})
	return dir
}

func jsonl(t *testing.T, rows ...any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	var b strings.Builder
	for _, r := range rows {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func pairs(n int) []any {
	var rows []any
	for i := range n {
		rows = append(rows, map[string]string{"prompt": fmt.Sprintf("What is %d plus 1?\n", i), "completion": fmt.Sprint(i + 1)})
	}
	return rows
}

func specOf(dir, data string) ftlib.Run {
	return ftlib.Run{Model: ftlib.Model{Path: dir}, Data: ftlib.Data{Train: data}}.Resolve()
}

func TestDataIsSplitEncodedAndMarked(t *testing.T) {
	dir := letters(t)
	path := jsonl(t, pairs(100)...)
	d, err := openData(specOf(dir, path), dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.Mapping.Kind != corpus.KindCompletion || d.MaxLength != 64 || len(d.Files) != 1 {
		t.Errorf("%+v", d.summary())
	}
	if n := len(d.Examples); n+d.Held != 100 || d.Held < 3 || d.Held > 20 {
		t.Errorf("%d rows trained on, %d held", n, d.Held)
	}
	tok := d.Tokenizer
	for _, ex := range d.Examples[:5] {
		want := fmt.Sprintf("<s>What is %d plus 1?\n%d</s>", ex.Num-1, ex.Num)
		if got := tok.Decode(ex.IDs, false); got != want {
			t.Errorf("row %d: %q, want %q", ex.Num, got, want)
		}
		var trained []int32
		for i, id := range ex.IDs {
			if ex.Train[i] {
				trained = append(trained, id)
			}
		}
		if got := tok.Decode(trained, false); got != fmt.Sprintf("%d</s>", ex.Num) {
			t.Errorf("row %d trains %q", ex.Num, got)
		}
	}
	if file, row := d.Where(3); file != path || row != d.Examples[3].Num {
		t.Errorf("example 3 is %s row %d", file, row)
	}
	again, err := openData(specOf(dir, path), dir)
	if err != nil || !reflect.DeepEqual(again.Examples, d.Examples) || !reflect.DeepEqual(again.Validation, d.Validation) {
		t.Errorf("opened twice, the data differs (%v)", err)
	}
}

func TestSourceWalksEpochsAndSeeks(t *testing.T) {
	dir := letters(t)
	run := specOf(dir, jsonl(t, pairs(30)...))
	d, err := openData(run, dir)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]int
	var cursors []json.RawMessage
	lasts := 0
	for range 3*d.Train.PerEpoch() + 1 {
		c, err := d.Train.Cursor()
		if err != nil {
			t.Fatal(err)
		}
		cursors = append(cursors, c)
		b, last, err := d.Train.Next()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Rows)
		if last {
			lasts++
			if len(all)%d.Train.PerEpoch() != 0 {
				t.Errorf("batch %d ends an epoch of %d", len(all), d.Train.PerEpoch())
			}
		}
	}
	if lasts != 3 {
		t.Errorf("%d epochs ended", lasts)
	}
	for i, c := range cursors {
		if err := d.Train.Seek(c); err != nil {
			t.Fatal(err)
		}
		if b, _, err := d.Train.Next(); err != nil || !reflect.DeepEqual(b.Rows, all[i]) {
			t.Errorf("after seeking to batch %d: rows %v, want %v (%v)", i, b.Rows, all[i], err)
		}
	}
	other, err := openData(specOf(dir, jsonl(t, pairs(31)...)), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Train.Seek(cursors[2]); err == nil || !strings.Contains(err.Error(), "fingerprint") {
		t.Errorf("a position in other data: %v", err)
	}
}

func TestLongTextLosesNothing(t *testing.T) {
	dir := letters(t)
	long := strings.Repeat("abcdefghij", 20)
	path := jsonl(t, map[string]string{"text": long}, map[string]string{"text": "short"})
	run := specOf(dir, path)
	run.Data.Split = -1
	d, err := openData(run, dir)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, ex := range d.Examples[:len(d.Examples)-1] {
		if len(ex.IDs) > 64 {
			t.Errorf("a sequence of %d tokens", len(ex.IDs))
		}
		text.WriteString(d.Tokenizer.Decode(ex.IDs, false))
	}
	if want := "<s>" + long + "</s>"; text.String() != want {
		t.Errorf("%q, want %q", text.String(), want)
	}
	if d.Audit.Cut != 0 || d.Audit.Rows != 2 {
		t.Errorf("%s", &d.Audit)
	}
}

func TestPieces(t *testing.T) {
	for _, c := range []struct{ n, max, want int }{{1, 4, 1}, {4, 4, 1}, {5, 4, 1}, {6, 4, 2}, {9, 4, 2}, {12, 4, 3}} {
		ex := corpus.Example{IDs: make([]int32, c.n), Train: make([]bool, c.n)}
		if got := pieces(ex, c.max); len(got) != c.want {
			t.Errorf("%d tokens by %d: %d pieces, want %d", c.n, c.max, len(got), c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	dir := letters(t)
	good := pairs(20)
	empty := append(pairs(20), map[string]string{"prompt": "nothing", "completion": ""})
	long := append(pairs(2), map[string]string{"prompt": strings.Repeat("a", 80), "completion": "b"})
	chat := []any{map[string]any{"messages": []any{map[string]string{"role": "user", "content": "a"}, map[string]string{"role": "assistant", "content": "b"}}}}
	for name, c := range map[string]struct {
		rows   []any
		want   string
		insist bool
	}{
		"good":        {good, "", false},
		"empty":       {empty, "row 21", false},
		"empty, left": {empty, "", true},
		"long":        {long, "row 3", false},
		"no template": {chat, "name a template", false},
	} {
		run := specOf(dir, jsonl(t, c.rows...))
		run.Data.Insist, run.Data.Split = c.insist, -1
		d, err := openData(run, dir)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v; want a refusal with %q", name, err, c.want)
		case c.insist && (len(d.Examples) != 20 || len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "1 of 21 training rows are left out")):
			t.Errorf("%s: %d examples, %v", name, len(d.Examples), d.Warnings)
		}
	}
}

func TestTemplateChoice(t *testing.T) {
	dir := letters(t)
	if tmpl, err := templateOf("", dir); err != nil || tmpl != nil {
		t.Errorf("a tokenizer without a template: %v, %v", tmpl, err)
	}
	tmpl, err := templateOf("guanaco", dir)
	if err != nil || tmpl.EOS() != "</s>" {
		t.Errorf("%v", err)
	}
	file := filepath.Join(t.TempDir(), "mine.jinja")
	os.WriteFile(file, []byte("{{ bos_token }}x"), 0o644)
	if tmpl, err = templateOf(file, dir); err != nil || tmpl.BOS() != "<s>" || tmpl.Name() != "mine.jinja" {
		t.Errorf("a file: %v", err)
	}
	for name, want := range map[string]string{"nonsense": "no built-in template", "no/such/file.jinja": "no file"} {
		if _, err := templateOf(name, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Rows that are written in turns train in that form where the tokenizer has no template
// of its own, which is said, and the checkpoint carries it.
func TestRowsInTurnsBringTheirTemplate(t *testing.T) {
	dir := letters(t)
	var rows []any
	for i := range 30 {
		rows = append(rows, map[string]any{"text": fmt.Sprintf("### Human: a%d### Assistant: b%d", i, i)})
	}
	run := specOf(dir, jsonl(t, rows...))
	d, err := openData(run, dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.Template == nil || d.Template.Name() != "guanaco" || len(d.Warnings) == 0 || !strings.Contains(d.Warnings[0], "in turns") {
		t.Fatalf("template %v, warnings %q", d.Template, d.Warnings)
	}
	out := t.TempDir()
	if err := d.beside(run)(out, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(out, "chat_template.jinja")); err != nil {
		t.Error(err)
	}
	// Conversations in any other form still need a name.
	run = specOf(dir, jsonl(t, map[string]any{"messages": []any{map[string]any{"role": "user", "content": "a"}, map[string]any{"role": "assistant", "content": "b"}}}))
	if _, err := openData(run, dir); err == nil || !strings.Contains(err.Error(), "template") {
		t.Errorf("messages without a template: %v", err)
	}
}

// TestRealData opens the real files with the tokenizer of a real model.
func TestRealData(t *testing.T) {
	model := filepath.Dir(testkit.SharedData(t, "stories260K/tokenizer.json"))
	tok, err := token.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, template string
		kind           corpus.Kind
		rows           int
	}{
		{"gsm8k/train.parquet", "", corpus.KindReasoning, 7473},
		{"chat/oa_guanaco_generations_gpt35.jsonl", "guanaco", corpus.KindChat, 953},
		{"tinystories/sample.txt", "", corpus.KindText, 0},
	} {
		run := specOf(model, testkit.SharedData(t, c.file))
		run.Data.Template, run.Data.Insist = c.template, true
		d, err := openData(run, model)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		t.Logf("%s: %s; %v; %v", c.file, &d.Audit, d.Warnings, d.summary())
		if d.Mapping.Kind != c.kind || c.rows > 0 && d.Mapping.Rows != c.rows {
			t.Errorf("%s: %+v", c.file, d.Mapping)
		}
		for _, ex := range d.Examples {
			if c.kind == corpus.KindReasoning && ex.IDs[0] != tok.Special().BOS || len(ex.IDs) > d.MaxLength {
				t.Fatalf("%s row %d: %d tokens, first %d", c.file, ex.Num, len(ex.IDs), ex.IDs[0])
			}
		}
	}
}

func TestValidationHasTheShapesOfTraining(t *testing.T) {
	dir := letters(t)
	for _, packing := range []bool{false, true} {
		run := specOf(dir, jsonl(t, pairs(200)...))
		run.Data.Packing = packing
		d, err := openData(run, dir)
		if err != nil {
			t.Fatal(err)
		}
		shapes := map[[2]int]bool{}
		for range d.Train.PerEpoch() {
			b, _, err := d.Train.Next()
			if err != nil {
				t.Fatal(err)
			}
			shapes[[2]int{b.B, b.T}] = true
		}
		rows := 0
		for _, b := range d.Validation {
			if rows += len(b.Rows); !shapes[[2]int{b.B, b.T}] {
				t.Errorf("packing %v: validation has a batch [%d, %d]", packing, b.B, b.T)
			}
		}
		if rows != d.Held || rows == 0 {
			t.Errorf("packing %v: %d rows of %d in validation batches", packing, rows, d.Held)
		}
	}
}

func TestFirstRows(t *testing.T) {
	row := func(n int) corpus.Group { return corpus.Group{File: "f", Num: n} }
	all := []corpus.Group{row(1), row(1), row(4), row(2), row(2), row(2)}
	for n, want := range []int{0, 2, 3, 6, 6} {
		if got, rows := firstRows(all, n); len(got) != want || rows != min(n, 3) {
			t.Errorf("%d rows: %d examples of %d rows, want %d", n, len(got), rows, want)
		}
	}
}
