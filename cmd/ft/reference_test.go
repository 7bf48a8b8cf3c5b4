package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"ftlab/ftlib"
	"ftlab/internal/testkit"
)

var update = flag.Bool("update", false, "rewrite docs/reference")

// The references are what the program itself says.
func TestReference(t *testing.T) {
	for name, want := range map[string]string{"cli.md": cliReference(), "run.md": yamlReference()} {
		path := filepath.Join(testkit.Root(), "docs", "reference", name)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(data) != want {
			t.Errorf("docs/reference/%s is not what the program says: go test ./cmd/ft -run TestReference -update", name)
		}
	}
	for _, key := range ftlib.Keys() {
		if !strings.HasPrefix(key, "parent.") && ftlib.KeyDoc(key) == "" {
			t.Errorf("%s has no meaning", key)
		}
	}
}

// cliReference is docs/reference/cli.md: every command of ft with its help and flags.
func cliReference() string {
	var b strings.Builder
	b.WriteString("# The command line\n\nWritten by `go test ./cmd/ft -run TestReference -update` from the commands themselves;\n`ft COMMAND --help` says the same. Every command takes `--json` where it prints results.\n")
	var write func(cmd *cobra.Command)
	write = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		if cmd.HasParent() {
			fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n    %s\n", cmd.CommandPath(), strings.TrimSuffix(cmd.Short, "."), cmd.UseLine())
			if cmd.Long != "" {
				b.WriteString("\n" + literal(cmd.Long))
			}
			if cmd.Example != "" {
				b.WriteString("\n" + literal(cmd.Example))
			}
			if flags := cmd.NonInheritedFlags().FlagUsagesWrapped(100); flags != "" {
				b.WriteString("\n" + literal(strings.TrimRight(flags, "\n")))
			}
		}
		for _, c := range cmd.Commands() {
			write(c)
		}
	}
	root := rootCmd()
	root.InitDefaultHelpCmd()
	write(root)
	return b.String()
}

// literal indents a text as Markdown shows it unchanged.
func literal(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		b.WriteString(strings.TrimRight("    "+line, " ") + "\n")
	}
	return b.String()
}

// yamlReference is docs/reference/run.md: every key of a run file.
func yamlReference() string {
	var b strings.Builder
	b.WriteString("# The run file\n\nWritten by `go test ./cmd/ft -run TestReference -update` from the structs of package ftlib;\n`ft train --keys` says the same. \"zero\" is what a key that is not given means.\n")
	section := "-"
	for _, key := range ftlib.Keys() {
		at := ""
		if i := strings.LastIndex(key, "."); i >= 0 {
			at = key[:i]
		}
		if at == "parent" { // written by ft runs branch
			continue
		}
		if at != section {
			section = at
			title := section
			if title == "" {
				title = "The run itself"
			}
			fmt.Fprintf(&b, "\n## %s\n\n| key | meaning |\n|---|---|\n", title)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", key[len(at):][min(1, len(at)):], strings.ReplaceAll(ftlib.KeyDoc(key), "|", "\\|"))
	}
	return b.String()
}
