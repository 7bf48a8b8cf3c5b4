package sandbox_test

import (
	"testing"

	"ftlab/ftlib/sandbox"
)

func TestGo(t *testing.T) {
	needs(t)
	add := "package solution\n\nfunc Add(a, b int) int { return a + b }\n"
	check := func(want string) string {
		return "package solution\n\nimport \"testing\"\n\nfunc TestAdd(t *testing.T) {\n\tif got := Add(1, 2); got != " + want + " {\n\t\tt.Fatalf(\"got %d\", got)\n\t}\n}\n"
	}
	echo := "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tvar a, b int\n\tfmt.Scan(&a, &b)\n\tfmt.Println(a + b)\n}\n"
	program := func(imports, body string) string {
		return "package main\n\nimport (" + imports + ")\n\nfunc main() {\n" + body + "\n}\n"
	}
	once := sandbox.Tests{Language: sandbox.Go, Cases: []sandbox.Case{{}}}
	for _, c := range []struct {
		name, code string
		tests      sandbox.Tests
		want       []sandbox.Outcome
	}{
		{"adds", add, sandbox.Tests{Language: sandbox.Go, Check: check("3")}, []sandbox.Outcome{sandbox.OK}},
		{"adds wrongly", add, sandbox.Tests{Language: sandbox.Go, Check: check("4")}, []sandbox.Outcome{sandbox.Wrong}},
		{"does not compile", "package solution\n\nfunc Add(a, b int) int { return a }}\n", sandbox.Tests{Language: sandbox.Go, Check: check("3")}, []sandbox.Outcome{sandbox.Compile}},
		{"leaves early", "package solution\n\nimport \"os\"\n\nfunc init() { os.Exit(0) }\nfunc Add(a, b int) int { return 0 }\n", sandbox.Tests{Language: sandbox.Go, Check: check("3")}, []sandbox.Outcome{sandbox.Exit}},
		{"echoes", echo, sandbox.Tests{Language: sandbox.Go, Cases: []sandbox.Case{{"1 2", "3"}, {"3 4", "7"}}}, []sandbox.Outcome{sandbox.OK}},
		{"echoes wrongly", echo, sandbox.Tests{Language: sandbox.Go, Cases: []sandbox.Case{{"1 2", "3"}, {"3 4", "8"}}}, []sandbox.Outcome{sandbox.Wrong}},
		{"fills memory", program(`"fmt"`, "var x [][]byte\nfor { b := make([]byte, 1<<20); for i := range b { b[i] = 1 }; x = append(x, b); if len(x) == 1<<30 { fmt.Println(x) } }"), once, []sandbox.Outcome{sandbox.Memory}},
		{"reads passwords", program(`"os"`, "if _, err := os.ReadFile(\"/etc/passwd\"); err != nil { panic(err) }"), once, []sandbox.Outcome{sandbox.Exit}},
		{"dials", program(`"net"`, "if _, err := net.Dial(\"tcp\", \"127.0.0.1:22\"); err != nil { panic(err) }"), once, []sandbox.Outcome{sandbox.Exit}},
		{"computes for ever", program("", "for {}"), once, []sandbox.Outcome{sandbox.Timeout}},
		{"embeds the host", "package main\n\nimport _ \"embed\"\n\n//go:embed /etc/passwd\nvar s string\n\nfunc main() { print(s) }\n", once, []sandbox.Outcome{sandbox.Compile}},
		{"uses C", "package main\n\nimport \"C\"\n\nfunc main() {}\n", once, []sandbox.Outcome{sandbox.Compile}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judge(t, c.code, c.tests, small)
			found := false
			for _, w := range c.want {
				found = found || v.Outcome == w
			}
			if !found || v.Passed != (v.Outcome == sandbox.OK) {
				t.Errorf("%s, %q, want %s; runs %+v", v.Outcome, v.Reason, c.want, v.Runs)
			}
			t.Logf("%s: %s", v.Outcome, v.Reason)
		})
	}
}
