//go:build unix

package jupyter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// completions asks as a front end does; "|" marks the cursor.
func (f *frontEnd) completions(code string) (matches []string, replaced string, reply map[string]any) {
	f.t.Helper()
	before, after, _ := strings.Cut(code, "|")
	all := []rune(before + after)
	reply = f.request("shell", "complete_request", map[string]any{"code": string(all), "cursor_pos": len([]rune(before))})
	for _, m := range reply["matches"].([]any) {
		matches = append(matches, m.(string))
	}
	return matches, string(all[int(reply["cursor_start"].(float64)):int(reply["cursor_end"].(float64))]), reply
}

func TestLook(t *testing.T) {
	if tool(t, "gopls"); t.Skipped() {
		return
	}
	f := startFrontEndWith(t, func(cfg *Config) { cfg.Cache = t.TempDir() })
	f.run("// Double doubles.\nfunc Double(x int) int { return 2 * x }\ntype Point struct{ Across, Up int }")
	for _, c := range []struct{ code, want, replaced string }{
		{"Doubl|", "Double", "Doubl"},
		{"Double|", "Double", "Double"}, // exactly
		{"fmt.Println|", "Println", "Println"},
		{"x := \"é😀\"; fmt.Pri|", "Printf", "Pri"},
		{"p := Point{}\nfmt.Println(p.Ac|", "Across", "Ac"},
		{"func f(p Point) int {\n\treturn p.U|\n}", "Up", "U"},
		{"value := 3\nfor i := range 3 {\n\tvalu|", "value", "valu"},
		{"strings.Rep|x", "Repeat", "Repx"},
		{"%ti|", "%time", "%ti"},
		{"%time x\n%wr|", "", ""},
		{"%%wr|", "%%writefile", "%%wr"},
	} {
		matches, replaced, reply := f.completions(c.code)
		if c.want == "" && len(matches) == 0 {
			continue
		}
		if !slices.Contains(matches, c.want) || !strings.HasPrefix(c.replaced, replaced) || replaced == "" {
			t.Errorf("%q: %v in place of %q", c.code, matches, replaced)
		}
		if types := fmt.Sprint(reply["metadata"]); !strings.Contains(types, "_jupyter_types_experimental") || !strings.Contains(types, "text:"+c.want) {
			t.Errorf("%q: metadata %s", c.code, types)
		}
	}
	for code, want := range map[string]string{
		"Dou|ble(3)": "Double doubles", "fmt.Print|ln(1)": "formats using the default formats", "fmt.Println(1, |": "formats using the default formats",
		"%ti|me": "how long", "%%writef|ile x": "write the cell to a file",
	} {
		before, after, _ := strings.Cut(code, "|")
		r := f.request("shell", "inspect_request", map[string]any{"code": before + after, "cursor_pos": len([]rune(before)), "detail_level": 0})
		data := fmt.Sprint(r["data"])
		if r["found"] != true || !strings.Contains(data, want) || !strings.Contains(data, "text/markdown") {
			t.Errorf("%q: %v", code, r)
		}
	}
	if r := f.request("shell", "inspect_request", map[string]any{"code": " ", "cursor_pos": 0}); r["found"] != false || r["status"] != "ok" {
		t.Errorf("nothing: %v", r)
	}
	// While a cell runs, the next one is typed.
	m := f.send("shell", "execute_request", map[string]any{"code": "fmt.Println(\"up\")\ntime.Sleep(time.Minute)"})
	for (<-f.iopub).Head.Type != "stream" {
	}
	if matches, _, _ := f.completions("Doubl|"); !slices.Contains(matches, "Double") {
		t.Errorf("while a cell runs: %v", matches)
	}
	f.request("control", "interrupt_request", struct{}{})
	f.wait("shell", m)
	// gopls is killed: it comes back.
	f.kernel.looker.client.Close()
	f.completions("Doubl|")
	for range 50 {
		if matches, _, _ := f.completions("Doubl|"); slices.Contains(matches, "Double") {
			return
		}
	}
	t.Error("gopls does not come back")
}
