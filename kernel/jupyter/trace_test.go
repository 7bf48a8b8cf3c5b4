//go:build unix

package jupyter

import (
	"fmt"
	"strings"
	"testing"
)

// A stack that overflowed is shown in a few lines: one for the call that came again and
// again, none for the runtime's own goroutines.
func TestStackOverflow(t *testing.T) {
	at := func(line int) string {
		return fmt.Sprintf("\t\x1b[7m[[ Cell [1] Line %d ]]\x1b[0m /none/main.go:%d +0x1d fp=0x10 sp=0x20 pc=0x30\n", line, line)
	}
	stack := "runtime: goroutine stack exceeds 1000000000-byte limit\n[fatal error: stack overflow\n\nruntime stack:\nruntime.throw()\n\nruntime.newstack()\n\n" +
		"goroutine 1 gp=0x1 m=0 [running]:\n"
	for i := range 100 {
		stack += fmt.Sprintf("main.main.func1(0x%x)\n", i) + at(2)
	}
	stack += "main.main()\n" + at(3) + "\ngoroutine 2 gp=0x2 [force gc (idle)]:\nruntime.gopark()\n\t/go/proc.go:1 +0x1 fp=0x1 sp=0x2 pc=0x3\n"
	cells := map[int]source{1: {count: 4, lines: []string{"a", "b", "c"}, sent: []string{"a", "b", "c"}, from: []int{0, 1, 2}}}
	if !crash.MatchString(stack) {
		t.Error("the beginning of the crash is not seen")
	}
	got := explainCrash(stack, cells)
	text := strings.Join(got.Trace, "\n")
	if got.Name != "fatal error" || got.Value != "stack overflow" {
		t.Errorf("%s: %s", got.Name, got.Value)
	}
	for _, want := range []string{"cell 4, line 2 (and ", "main.main()", "cell 4, line 3", "-->   2  b"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Count(text, "\n") > 20 || strings.Contains(text, "fp=") || strings.Contains(text, "force gc") {
		t.Errorf("too much:\n%s", text)
	}
}
