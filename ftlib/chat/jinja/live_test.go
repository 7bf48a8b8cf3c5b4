package jinja

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

// Text functions agree with Python's on random text in several scripts.
func TestTextFunctionsLive(t *testing.T) {
	if os.Getenv("FTLAB_PYTHON") == "" {
		t.Skip("SKIPPED: set FTLAB_PYTHON to a Python that has transformers to compare with it live")
	}
	rng := rand.New(rand.NewPCG(1, 9))
	str := func() string {
		var b strings.Builder
		for range rng.IntN(10) {
			// Python and Go know different versions of Unicode: scripts that have long
			// been settled.
			settled := [][2]int{{0, 0x250}, {0x391, 0x3c9}, {0x400, 0x450}, {0x4e00, 0x4fff}, {0x1f600, 0x1f64f}, {'a', 'g'}, {'a', 'g'}}
			odd := []string{" ", "\n", "\t", "\r\n", "\u00a0", "\u2028", "\x1c", "'", "\"", "\\", "aA", "ß", "ǆ", "-", "'s", "ﬁ"}
			if k := rng.IntN(len(settled) + 2); k < len(settled) {
				b.WriteRune(rune(settled[k][0] + rng.IntN(settled[k][1]-settled[k][0])))
			} else {
				b.WriteString(odd[rng.IntN(len(odd))])
			}
		}
		return b.String()
	}
	exprs := strings.Split(`s|trim
s|upper
s|lower
s|capitalize
s|title
s.title()
s.capitalize()
s.swapcase()
[s]
s|tojson
s|tojson(ensure_ascii=true)
s[::-1]
s[1:-1]
s[-3:]
s[::2]
s.split()
s.split(' ')
s.split('a', 1)
s.rsplit(none, 1)
s.rsplit('a', 1)
s.splitlines()
s.strip('ab')
s.lstrip()
s.rstrip()
s.replace('a', 'b')
s|replace('', '-')
s|length
s.isalpha()
s.isdigit()
s.isspace()
s.isupper()
s.islower()
s.isalnum()
s|indent
s|e
s|urlencode
s|wordcount
s|list
s|truncate(6, true, '.', 0)
s|truncate(6, false, '.', 0)
s.find('a')
s.partition('a')
s.center(12)
'%r' % s
s is lower
s < 'b'
s in 'abcdef'
s|int
s|float
s|string|first
s.zfill(5)`, "\n")
	type job struct {
		Source string         `json:"source"`
		Vars   map[string]any `json:"vars"`
	}
	var jobs []job
	for range 200 {
		for _, e := range exprs {
			jobs = append(jobs, job{"{{ " + e + " }}", map[string]any{"s": str()}})
		}
	}
	in, err := json.Marshal(map[string]any{"now": now, "expressions": jobs})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Getenv("FTLAB_PYTHON"), filepath.Join(testkit.Root(), "scripts", "golden", "chat_templates.py"))
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var res struct{ Expressions []answer }
	if err := json.Unmarshal(out, &res); err != nil {
		t.Fatal(err)
	}
	bad := 0
	for i, w := range res.Expressions {
		tmpl, err := Parse(jobs[i].Source)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Render(map[string]Value{"s": Str{S: jobs[i].Vars["s"].(string)}}, Options{})
		if (err != nil) != (w.Error != "") || got.Text != w.Text {
			t.Errorf("%s with %q: got %q (%v), want %q %s", jobs[i].Source, jobs[i].Vars["s"], got.Text, err, w.Text, w.Message)
			if bad++; bad == 20 {
				return
			}
		}
	}
}
