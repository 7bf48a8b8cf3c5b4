//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/plan"
	"ftlab/kernel/jupyter"
)

func TestPlanCommand(t *testing.T) {
	ft := func(code int, args ...string) string {
		t.Helper()
		var out, failed bytes.Buffer
		if got := run(t.Context(), append([]string{"plan"}, args...), &out, &failed); got != code {
			t.Errorf("ft plan %v: exit code %d, want %d: %s", args, got, code, failed.String())
		}
		return out.String() + failed.String()
	}
	var r plan.Report
	if err := json.Unmarshal([]byte(ft(exitOK, "--model", "65b", "--adapter", "qlora", "--device", "rtx4090", "--json")), &r); err != nil || r.Fits || r.Ledger.Bytes() < 33e9 {
		t.Errorf("65b on 24 GB: %s, %v", r.Verdict(), err)
	}
	if text := ft(exitOK, "--model", "7b", "--length", "512", "--device", "rtx3060", "--rows", "1000"); !strings.Contains(text, "best first") || !strings.Contains(text, "--set model.load_in_4bit=true") || !strings.Contains(text, "1000 rows") {
		t.Errorf("%s", text)
	}
	for _, wrong := range [][]string{{}, {"--model", "9000b"}, {"--model", "7b", "--device", "gtx"}, {"--model", "7b", "--adapter", "magic"}, {"budget", "much"}} {
		ft(exitUsage, wrong...)
	}
	if text := ft(exitOK, "budget", "100", "rtx4090", "a100"); !strings.Contains(text, "167") || !strings.Contains(text, "qlora: ") {
		t.Errorf("%s", text)
	}
	if text := ft(exitOK, "guide"); !strings.Contains(text, "cannot be") {
		t.Errorf("%s", text)
	}
	table := filepath.Join(t.TempDir(), "devices.yaml")
	if err := os.WriteFile(table, []byte(strings.ReplaceAll(ft(exitOK, "devices", "--yaml"), "name: t4,", "name: mine,")), 0o600); err != nil {
		t.Fatal(err)
	}
	ft(exitOK, "--model", "1b", "--device", "mine", "--devices", table)
	file := filepath.Join(t.TempDir(), "run.yaml")
	ft(exitOK, "choose", "--goal", "preferences", "--model", "1b", "--device", "rtx3060", "--out", file)
	if spec, err := ftlib.ReadFile(file); err != nil || spec.Method.DPO == nil {
		t.Errorf("%+v %v", spec.Method, err)
	}
	ft(exitUsage, "choose", "--device", "rtx3060", "--out", file) // it is there
	_, text, page, err := magic(t, "%ft", jupyter.Call{Line: "plan run.yaml --device rtx3060 --rows 10", Dir: filepath.Dir(file)})
	if err != nil || !strings.Contains(text, "peak") || !strings.Contains(page, "<rect") {
		t.Errorf("%%ft plan: %q %q %v", text, page, err)
	}
	if shell, _, _, err := magic(t, "%ft", jupyter.Call{Line: "plan guide"}); err != nil || !strings.HasSuffix(shell, " plan guide") {
		t.Errorf("%q %v", shell, err)
	}
}
