package plan

import (
	"os"
	"path/filepath"
	"testing"
)

// docs/memory.md is what the package says.
func TestMarkdownInStep(t *testing.T) {
	want, err := Markdown()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "memory.md")
	if os.Getenv("FTLAB_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/memory.md is not what the package says: ft plan guide --markdown > docs/memory.md")
	}
}
