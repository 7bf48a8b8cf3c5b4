package token

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

// benchTexts are a megabyte each of kinds of text.
func benchTexts(b *testing.B) map[string]string {
	story := benchRead(b, "tinystories/")
	r := newRandomText(3)
	var mixed strings.Builder
	for mixed.Len() < 1<<20 {
		mixed.WriteString(r.text())
	}
	return map[string]string{
		"stories": story[:min(len(story), 1<<20)],
		"mixed":   mixed.String(),
		"a":       strings.Repeat("a", 1<<20),
	}
}

// benchRead is the largest file of a folder of real data.
func benchRead(b *testing.B, folder string) string {
	dir := testkit.SharedData(b, folder)
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	best := ""
	for _, e := range entries {
		if data, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil && len(data) > len(best) {
			best = string(data)
		}
	}
	return best
}

func BenchmarkEncode(b *testing.B) {
	texts := benchTexts(b)
	for _, name := range []string{"tokenizers/tinyllama", "tokenizers/qwen2.5", "tokenizers/phi-2", "stories260K"} {
		tok, err := Load(testkit.SharedData(b, name+"/tokenizer.json"))
		if err != nil {
			b.Fatal(err)
		}
		for kind, text := range texts {
			b.Run(filepath.Base(name)+"/"+kind, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				n := 0
				for b.Loop() {
					n = len(tok.Encode(text, false))
				}
				b.ReportMetric(float64(n), "tokens")
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"tokenizers/tinyllama", "tokenizers/qwen2.5"} {
		tok, err := Load(testkit.SharedData(b, name+"/tokenizer.json"))
		if err != nil {
			b.Fatal(err)
		}
		text := benchTexts(b)["stories"]
		ids := tok.Encode(text, false)
		b.Run(filepath.Base(name), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tok.Decode(ids, false)
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"tokenizers/tinyllama", "tokenizers/qwen2.5"} {
		path := testkit.SharedData(b, name)
		b.Run(filepath.Base(name), func(b *testing.B) {
			for b.Loop() {
				if _, err := Load(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
