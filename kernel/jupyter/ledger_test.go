package jupyter

import (
	"fmt"
	"strings"
	"testing"
)

func TestLedger(t *testing.T) {
	var l ledger
	for _, code := range []string{
		"import (\n\t\"fmt\"\n\tm \"math\"\n)\n// Twice is two of it.\nfunc twice(x int) int { return 2 * x }",
		"type T[K comparable] struct{}\nfunc (t *T[K]) Do() {}\nvar a, b = 1, 2\nconst (\n\tzero = iota\n\tone\n)",
		"func twice(x int) float64 { return m.Pi }\ntwice(3)\nvar local = 3",
		"%%\nfunc() {}()\nvar body = 1",
		"var c = 1\n%%\nx := 1",
		"func main() {}",
		"var b = 3", // takes a with it, as gonb does
	} {
		c := scan(code)
		l.add(c.declarations())
	}
	var keys []string
	for _, d := range l.all() {
		keys = append(keys, strings.Join(d.keys, ","))
	}
	if got, want := fmt.Sprint(keys), "[import fmt import m T T.Do zero,one twice c b]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	imports, rest := l.text([]string{"T"})
	if imports != "import \"fmt\"\nimport m \"math\"\n" || strings.Contains(rest, "struct") || !strings.Contains(rest, "float64") {
		t.Errorf("%s\n%s", imports, rest)
	}
	l.followMagic("%rm T T~Do one")
	if _, rest := l.text(nil); strings.Contains(rest, "T") || strings.Contains(rest, "one") {
		t.Errorf("after %%rm:\n%s", rest)
	}
	if l.followMagic("%reset"); len(l.all()) > 0 {
		t.Error("%reset leaves something")
	}
}

// The bytes of a cell and of the file that gopls sees belong to each other.
func TestOverlay(t *testing.T) {
	var l ledger
	c := scan("import \"strings\"\n// Old is old.\nfunc old() int { return 1 }\nvar s = strings.ToUpper(\"é\")")
	l.add(c.declarations())
	for _, code := range []string{
		"fmt.Pr",
		"é := old()\n😀 := fmt.Sprint(é",
		"func f() {\n\tfmt.Pr\n}",
		"x := 1\nfunc g() {}\nimport \"os\"\nos.Exit(x)",
		"!ls\n%%\nx := f(",
		"type T struct { a in",
		"func old() string { return s }\nold()",
	} {
		for at := range len(code) + 1 {
			o, ok := newOverlay(code, at, &l)
			if !ok {
				t.Fatalf("%q is not Go", code)
			}
			if got := o.back(o.into(at)); got != at {
				t.Errorf("%q: byte %d becomes %d", code, at, got)
			}
			if p := positionOf(o.text, o.into(at)); offsetOf(o.text, p) != o.into(at) && code[at-1] < 0x80 {
				t.Errorf("%q: byte %d is not at %v", code, at, p)
			}
		}
		o, _ := newOverlay(code, len(code), &l)
		if !strings.HasPrefix(o.text, "package main\n") || strings.Count(o.text, "func main()") != 1 || strings.Count(o.text, "func old()") != 1 {
			t.Errorf("%q became\n%s", code, o.text)
		}
	}
	if o, _ := newOverlay("fmt.Println(os.Args)", 0, &ledger{}); !strings.Contains(o.text, "import \"fmt\"\nimport \"os\"\n") {
		t.Errorf("packages are not imported:\n%s", o.text)
	}
	if _, ok := newOverlay("%%writefile x\nfmt.", 0, &l); ok {
		t.Error("a file is taken for Go")
	}
}

func TestUnclosed(t *testing.T) {
	for text, want := range map[string]string{
		"f(a[": "])", "func f() { if x {": "}}", "\"(\" + '(' /* ( */ + `(`": "", "f() // (": "", "\"open (": "", "}": "",
	} {
		if got := unclosed(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
