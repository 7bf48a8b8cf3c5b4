package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// tokenizerDir makes a small tokenizer with a BOS.
func tokenizerDir(t *testing.T) string {
	t.Helper()
	tok, err := token.Train(slices.Values([]string{"hello hello hello world"}), token.TrainOptions{
		VocabSize: 262, SpecialTokens: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>", AddBOS: true})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTokenizeRoundTrip(t *testing.T) {
	dir := tokenizerDir(t)
	in, ids, back := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "ids.jsonl"), filepath.Join(dir, "back.jsonl")
	texts := []string{"hello world", "", "<&> \u2028 \"quoted\" \\ \x00 \U0001F600", strings.Repeat("long ", 40000)}
	var lines strings.Builder
	for _, s := range texts {
		b, _ := json.Marshal(s)
		fmt.Fprintf(&lines, "%s\r\n", b)
	}
	if err := os.WriteFile(in, []byte(strings.TrimSuffix(lines.String(), "\r\n")), 0o666); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := ft(t, "tokenize", "--tokenizer", dir, "--in", in, "--out", ids, "--special"); code != exitOK {
		t.Fatal(stderr)
	}
	if code, _, stderr := ft(t, "tokenize", "--tokenizer", dir, "--decode", "--skip-special", "--in", ids, "--out", back); code != exitOK {
		t.Fatal(stderr)
	}
	var got []string
	for line := range strings.Lines(read(t, back)) {
		var s string
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
	if !slices.Equal(got, texts) {
		t.Errorf("came back as %.200q", got)
	}
	if !strings.HasPrefix(read(t, ids), "[0, ") {
		t.Errorf("ids begin with %.20q, want the BOS", read(t, ids))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTokenizeErrorsNameTheLine(t *testing.T) {
	dir := tokenizerDir(t)
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	for _, c := range []struct{ text, flags, want string }{
		{"\"a\"\n{\"b\": 1}\n", "", "in.jsonl line 2: a JSON string is expected, not {\"b\": 1}"},
		{"\"a\"\n\n\"b\"\n", "", "in.jsonl line 2: a JSON string is expected, not an empty line"},
		{"\"a\"\nnull\n", "", "in.jsonl line 2: a JSON string"},
		{"\"a\xff\"\n", "", "in.jsonl line 1: not UTF-8"},
		{"[1]\n[1, -1]\n", "--decode", "in.jsonl line 2: token id -1 is negative"},
		{"[1.5]\n", "--decode", "in.jsonl line 1: a JSON array of token ids"},
		{"[99999999999]\n", "--decode", "in.jsonl line 1: a JSON array of token ids"},
	} {
		if err := os.WriteFile(in, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		args := append([]string{"tokenize", "--tokenizer", dir, "--in", in, "--out", out}, strings.Fields(c.flags)...)
		code, _, stderr := ft(t, args...)
		if code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit code %d, %q; want %q", c.text, code, stderr, c.want)
		}
		if left, _ := filepath.Glob(out + "*"); len(left) > 0 {
			t.Errorf("%q: left behind %v", c.text, left)
		}
	}
	for args, want := range map[string]string{
		"--tokenizer nowhere text":                 "nowhere",
		"--tokenizer " + dir + " --out x":          "--in is missing",
		"--tokenizer " + dir + " --skip-special":   "--decode",
		"--tokenizer " + dir + " --decode a":       "--in",
		"--tokenizer " + dir + " --in nowhere":     "nowhere",
		"--tokenizer " + dir + " --in x --out y z": "do not go together",
		"text": "required",
	} {
		if code, _, stderr := ft(t, append([]string{"tokenize"}, strings.Fields(args)...)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q; want %q", args, code, stderr, want)
		}
	}
}

func TestTokenizeTable(t *testing.T) {
	dir := tokenizerDir(t)
	code, stdout, stderr := ft(t, "tokenize", "--tokenizer", dir, "--special", "hello </s>")
	if code != exitOK {
		t.Fatal(stderr)
	}
	for _, want := range []string{"added special", `"</s>" special`, "6:10", "0:"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	code, stdout, _ = ft(t, "tokenize", "--tokenizer", dir, "--json", "é")
	var rows []shownToken
	if err := json.Unmarshal([]byte(stdout), &rows); code != exitOK || err != nil || len(rows) != 2 || *rows[1].Bytes != [2]int{0, 2} {
		t.Errorf("two tokens over the same two bytes expected, got %s (%v)", stdout, err)
	}
	code, stdout, _ = ft(t, "tokenize", "--tokenizer", dir)
	if code != exitOK || !strings.Contains(stdout, "<s> (0), added with --special") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

// TestGoldenTokenize goes through the command line with every golden tokenizer.
func TestGoldenTokenize(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(testkit.Golden(t, "tokenizers"), "*_io.json"))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), "_io.json")
		var want struct {
			Encodings []struct {
				Text    string
				Special []int32 `json:"ids_with_special"`
				Decoded string
			}
		}
		testkit.GoldenJSON(t, "tokenizers/"+name+"_io.json", &want)
		var texts, ids, decoded strings.Builder
		for _, c := range want.Encodings {
			for to, v := range map[*strings.Builder]any{&texts: c.Text, &ids: c.Special, &decoded: c.Decoded} {
				enc := json.NewEncoder(to)
				enc.SetEscapeHTML(false)
				if err := enc.Encode(v); err != nil {
					t.Fatal(err)
				}
			}
		}
		dir := t.TempDir()
		in := filepath.Join(dir, "in.jsonl")
		if err := os.WriteFile(in, []byte(texts.String()), 0o666); err != nil {
			t.Fatal(err)
		}
		tok := testkit.Golden(t, "tokenizers/"+name)
		code, got, stderr := ft(t, "tokenize", "--tokenizer", tok, "--in", in, "--special")
		if want := strings.ReplaceAll(ids.String(), ",", ", "); code != exitOK || got != want {
			t.Errorf("%s: exit code %d %s, ids\n%s want\n%s", name, code, stderr, got, want)
		}
		if err := os.WriteFile(in, []byte(ids.String()), 0o666); err != nil {
			t.Fatal(err)
		}
		if code, got, stderr := ft(t, "tokenize", "--tokenizer", tok, "--in", in, "--decode"); code != exitOK || got != decoded.String() {
			t.Errorf("%s: exit code %d %s, text\n%s want\n%s", name, code, stderr, got, decoded.String())
		}
	}
}
