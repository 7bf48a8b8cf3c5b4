//go:build unix

package jupyter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestIsComplete(t *testing.T) {
	for _, c := range []struct{ code, want, indent string }{
		{"", "complete", ""},
		{"1+2", "complete", ""},
		{"x := 1\nx++", "complete", ""},
		{"return", "complete", ""},
		{"func f() {}", "complete", ""},
		{"func (t T) f() {}\nf()", "complete", ""},
		{"func() { println() }()", "complete", ""},
		{"import \"fmt\"\nfmt.Println()", "complete", ""},
		{"// a brace {", "complete", ""},
		{"s := \"{\"", "complete", ""},
		{"!ls {", "complete", ""},
		{"%help", "complete", ""},
		{"!ls \\", "incomplete", ""},
		{"%%\n", "incomplete", ""},
		{"%%\nx := 1", "complete", ""},
		{"%%writefile a.txt\nline (", "incomplete", ""},
		{"%%writefile a.txt\nline (\n\n", "complete", ""},
		{"func f() {", "incomplete", "\t"},
		{"for {\n\tif x {", "incomplete", "\t\t"},
		{"f(a,", "incomplete", "\t"},
		{"a +", "incomplete", ""},
		{"x :=", "incomplete", ""},
		{"type", "incomplete", ""},
		{"`raw", "incomplete", ""},
		{"/* comment", "incomplete", ""},
		{"}", "invalid", ""},
		{"foo bar", "invalid", ""},
		{"\"open", "invalid", ""},
		{"func 3() {}", "invalid", ""},
	} {
		if got := IsComplete(c.code); got.Status != c.want || got.Indent != c.indent {
			t.Errorf("%q: %+v, want %s with indent %q", c.code, got, c.want, c.indent)
		}
	}
}

func TestRewriteLeavesAlone(t *testing.T) {
	for _, code := range []string{
		"", "// nothing", "func f() {}\nvar x = 1", "%%\nx := 1", "type T struct{}", "func main() { x() }",
		"%%writefile f\n1+2", "%test\nx", "!ls", "x := f(", "\"open",
	} {
		if p := Rewrite(code); p.Code != code || p.Plain != "" {
			t.Errorf("%q became %q", code, p.Code)
		}
	}
}

// Whatever is moved, each line knows the line it was.
func TestRewriteLines(t *testing.T) {
	for _, code := range []string{
		"1+2",
		"x := 1\n\n// about y\ny := x\ny",
		"import \"fmt\"\nx := 1\nfunc f() int { return 2 }\n!ls\ntype T int\nfmt.Println(x,\n\tf())",
		"var a = 1; b := a; b",
		"if x {\n\ty()\n}\nfunc (t *T) m() {\n\tz()\n}\nw() // end",
	} {
		p := Rewrite(code)
		out, in := strings.Split(p.Code, "\n"), strings.Split(code, "\n")
		if len(out) != len(p.Lines) {
			t.Errorf("%q: %d lines, %d known", p.Code, len(out), len(p.Lines))
			continue
		}
		found := map[int]bool{}
		for i, line := range out {
			if strings.Contains(line, "func ftlabShow(") {
				break // the rest is show
			}
			for _, word := range []string{"about", "y := x", "import", "x := 1", "func f", "!ls", "type T", "f()", "b := a", "z()", "w()"} {
				if strings.Contains(line, word) && !strings.Contains(in[p.Lines[i]], word) {
					t.Errorf("%q is in line %d of\n%s\nwhich is said to be line %d of\n%s", word, i, p.Code, p.Lines[i], code)
				}
			}
			found[p.Lines[i]] = true
		}
		for i, line := range in {
			if strings.TrimSpace(line) != "" && !found[i] {
				t.Errorf("line %d of %q is gone: %q", i, code, p.Code)
			}
		}
	}
}

func TestRewriteResult(t *testing.T) {
	for _, c := range []struct {
		code        string
		show, plain bool
	}{
		{"1+2", true, false},
		{"x := 1\nx", true, false},
		{"f()", true, true},
		{"fmt.Sprint(1)", true, true},
		{"fmt.Println(1)", false, false},
		{"panic(1)", false, false},
		{"x;", false, false},
		{"x := 1", false, false},
		{"<-c", true, false},
		{"for {}", false, false},
		{"x\nfunc f() {}", false, false},
	} {
		p := Rewrite(c.code)
		if got := strings.Contains(p.Code, resultEnv); got != c.show {
			t.Errorf("%q: shown %v\n%s", c.code, got, p.Code)
		}
		if got := p.Plain != ""; got != c.plain || strings.Contains(p.Plain, resultEnv) {
			t.Errorf("%q: plain %q", c.code, p.Plain)
		}
	}
}

func ExampleRewrite() {
	fmt.Println(Rewrite("import \"os\"\nx := 1\nfunc f() {}\nx++").Code)
	// Output:
	// import "os"
	//
	// func f() {}
	// func main() {
	// x := 1
	//
	// x++
	// }
}

func TestEmbed(t *testing.T) {
	code, at := embed("import \"é\"\nstrings.Fi")
	if want := "import \"é\"\nfunc main() {strings.Fi\n}"; code != want || at != 11 {
		t.Errorf("got %q at %d, want %q at 11", code, at, want)
	}
	for _, code := range []string{"", "func f() { x", "%%\nfmt.Pr", "x()\nfunc f() {}"} {
		if got, at := embed(code); got != code || at != -1 {
			t.Errorf("%q became %q, %d", code, got, at)
		}
	}
}

func TestFitting(t *testing.T) {
	got := map[string]json.RawMessage{"matches": mustJSON([]string{"Println", "Fprintln", "println"}), "cursor_start": mustJSON(4), "cursor_end": mustJSON(6)}
	if out := fmt.Sprint(fitting([]rune("é..=Pr"), got)); out != "[Println println]" {
		t.Errorf("got %s", out)
	}
	got["cursor_end"] = mustJSON(99) // beyond the text
	if out := fitting([]rune("Pr"), got); out != nil {
		t.Errorf("got %v", out)
	}
}
