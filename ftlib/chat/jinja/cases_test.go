package jinja

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ftlab/internal/testkit"
)

var update = flag.Bool("update", false, "record the answers of Jinja2 again (needs FTLAB_PYTHON)")

const now = "2026-11-23T12:30:00"

// vars are what the cases see.
const vars = `{
	"messages": [{"role": "user", "content": "  Hi <b>\"you\" \n"},
		{"role": "assistant", "content": "Yes ünïcode ß", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": [1.5, null, true, "é"]}}}]}],
	"n": 5, "f": 2.5, "s": "Hello wörld-foo bar", "none_v": null, "d": {"b": 2, "A": 1, "c": [1, 2, 3]}, "l": [3, 1, 2], "e": "",
	"sl": ["b", "A", "c"], "add_generation_prompt": true, "big": 1e20, "small": 1e-7, "neg": -7, "t": true,
	"objs": [{"name": "x", "v": 1, "k": {"z": 1}}, {"name": "y", "v": 2}, {"name": "z", "v": 1}]
}`

type answer struct {
	Source  string `json:"source"`
	Text    string `json:"text,omitempty"`
	Error   string `json:"error,omitempty"`
	Message string `json:"message,omitempty"`
}

// sources reads testdata/cases.txt: templates between lines of ===; in the first block
// every line is an expression of its own.
func sources(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, block := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n===\n") {
		if i > 0 {
			out = append(out, block)
			continue
		}
		for _, line := range strings.Split(block, "\n") {
			if line != "" {
				out = append(out, "{{ "+line+" }}")
			}
		}
	}
	return out
}

// ask renders the cases with Jinja2.
func ask(t *testing.T, srcs []string) []answer {
	t.Helper()
	type job struct {
		Source string          `json:"source"`
		Vars   json.RawMessage `json:"vars"`
	}
	req := map[string]any{"now": now}
	var jobs []job
	for _, s := range srcs {
		jobs = append(jobs, job{s, json.RawMessage(vars)})
	}
	req["expressions"] = jobs
	in, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Getenv("FTLAB_PYTHON"), filepath.Join(testkit.Root(), "scripts", "golden", "chat_templates.py"))
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("FTLAB_PYTHON: %v", err)
	}
	var res struct {
		Expressions []answer `json:"expressions"`
	}
	if err := json.Unmarshal(out, &res); err != nil {
		t.Fatal(err)
	}
	for i := range res.Expressions {
		res.Expressions[i].Source = srcs[i]
	}
	return res.Expressions
}

func decode(t *testing.T, dec *json.Decoder) any {
	t.Helper()
	tok, err := dec.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch x := tok.(type) {
	case json.Delim:
		if x == '[' {
			list := []any{}
			for dec.More() {
				list = append(list, decode(t, dec))
			}
			decode(t, dec)
			return list
		}
		if x != '{' {
			return nil
		}
		o := Object{}
		for dec.More() {
			k := decode(t, dec).(string)
			o = append(o, Field{k, decode(t, dec)})
		}
		decode(t, dec)
		return o
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		f, _ := x.Float64()
		return f
	}
	return tok
}

func testVars(t *testing.T) map[string]Value {
	dec := json.NewDecoder(strings.NewReader(vars))
	dec.UseNumber()
	m := map[string]Value{}
	for _, f := range decode(t, dec).(Object) {
		m[f.Key] = From(f.Value, 0, 0)
	}
	return m
}

// Every expression and statement of testdata/cases.txt gives the text or the error that
// Jinja2 gives.
func TestCasesAgreeWithJinja2(t *testing.T) {
	srcs := sources(t)
	const file = "testdata/cases.json"
	var want []answer
	live := os.Getenv("FTLAB_PYTHON") != ""
	if live {
		want = ask(t, srcs)
	}
	if *update {
		if !live {
			t.Fatal("-update needs FTLAB_PYTHON")
		}
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		if err := enc.Encode(want); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !live {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
	}
	if len(want) != len(srcs) {
		t.Fatalf("%d recorded answers for %d cases: record them again with -update", len(want), len(srcs))
	}
	clock, _ := time.Parse("2006-01-02T15:04:05", now)
	for i, w := range want {
		if w.Source != srcs[i] {
			t.Fatalf("case %d is %q, recorded was %q: record again with -update", i, srcs[i], w.Source)
		}
		var out Output
		tmpl, err := Parse(srcs[i])
		if err == nil {
			out, err = tmpl.Render(testVars(t), Options{Now: clock})
		}
		if w.Error == "" {
			if err != nil || out.Text != w.Text {
				t.Errorf("%q\n got %q (%v)\nwant %q", srcs[i], out.Text, err, w.Text)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q\n got %q, want %s: %s", srcs[i], out.Text, w.Error, w.Message)
			continue
		}
		// What Python adds about its own functions and parser stacks is not repeated.
		same := e.Kind == w.Error && e.Msg == w.Message
		switch {
		case w.Error == "TemplateSyntaxError", w.Error == "SyntaxError":
			same = e.Kind == "TemplateSyntaxError"
		case strings.Contains(w.Message, "positional argument"), strings.Contains(w.Message, "unpack"):
			same = e.Kind == w.Error
		}
		if !same {
			t.Errorf("%q\n got %s: %s\nwant %s: %s", srcs[i], e.Kind, e.Msg, w.Error, w.Message)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for src, line := range map[string]int{
		"a\nb\n{% if x %}\n{{ y.z }}\n{% endif %}":             4,
		"\n\n{{ 'a' + 1 }}":                                    3,
		"{% for i in [1] %}\n{{ i }}\n{{ i.a.b }}{% endfor %}": 3,
		"x\n{{ raise_exception('no') }}":                       2,
		"x\n{% foo %}":                                         2,
		"\n{{ 'abc }}":                                         2,
	} {
		tmpl, err := Parse(src)
		if err == nil {
			_, err = tmpl.Render(map[string]Value{"x": true}, Options{})
		}
		var e *Error
		if !errors.As(err, &e) || e.Line != line {
			t.Errorf("%q: error %v, want one in line %d", src, err, line)
		}
	}
}

// A template that works without end, or asks for too much, ends in an error.
func TestHostileTemplates(t *testing.T) {
	for _, src := range []string{
		"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"{{ 'a' * 10000000000 }}",
		"{{ range(100000000) | list }}",
		"{{ [1] * 100000000 }}",
		strings.Repeat("(", 5000),
		"{{ " + strings.Repeat("not ", 5000) + "x }}",
		"{{ " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + " }}",
		strings.Repeat("{% if x %}", 5000),
		"{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
		"{{ 9 ** 99999 }}",
		"{{ '%99999999d' % 1 }}",
	} {
		tmpl, err := Parse(src)
		if err == nil {
			var out Output
			out, err = tmpl.Render(nil, Options{})
			if src[0] == '(' && out.Text == src {
				continue // it is plain text
			}
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.60q: %v, want an error", src, err)
		}
	}
}

// Whatever the source, parsing and rendering end, with a text or an *Error.
func FuzzTemplate(f *testing.F) {
	data, err := os.ReadFile("testdata/cases.txt")
	if err != nil {
		f.Fatal(err)
	}
	for i, block := range strings.Split(string(data), "\n===\n") {
		if i > 0 {
			f.Add(block)
		}
	}
	for _, s := range []string{"{{ a", "{% if", "{#", "{% raw %}", "{{ '\\x' }}", "{{ 1e }}", "{{ a[::] }}", "{{}}", "{%%}", "{{ a.b.c(d)|e is f }}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		tmpl, err := Parse(src)
		var out Output
		if err == nil {
			out, err = tmpl.Render(map[string]Value{"x": Str{S: "abc"}, "n": int64(3), "l": &List{Items: []Value{int64(1), Str{S: "b"}}}}, Options{})
		}
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%q: %v is no *Error", src, err)
		}
		for _, m := range out.Marks {
			if m.From < 0 || m.From > m.To || m.To > len(out.Text) {
				t.Fatalf("%q: mark %v outside a text of %d bytes", src, m, len(out.Text))
			}
		}
	})
}
