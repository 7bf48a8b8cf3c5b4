package notebook

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/plan"
)

func TestPlanPage(t *testing.T) {
	run := ftlib.Run{Model: ftlib.Model{Path: "7b"}, LoRA: &ftlib.LoRA{}}
	all, err := plans(run, []string{"rtx3060", "a100"})
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Fits || !all[1].Fits {
		t.Errorf("7b with LoRA: %s; %s", all[0].Verdict(), all[1].Verdict())
	}
	page, err := PlanPage(all[0])
	if err != nil || !strings.Contains(page, "<rect") || !strings.Contains(page, "model.load_in_4bit=true") || !strings.Contains(page, "peak") {
		t.Errorf("%s %v", page, err)
	}
	if _, err := plans(run, []string{"gtx"}); err == nil {
		t.Error("an unknown device is planned for")
	}
}

// The widget asks only what the goal leads to, shows where the answers lead, and writes a run file once.
func TestChooser(t *testing.T) {
	p := inKernel(t)
	file := filepath.Join(t.TempDir(), "run.yaml")
	root, err := Chooser{File: file, Answers: plan.Answers{Goal: "preferences", Device: "rtx3060", Model: "Llama-2-7B", Length: 512}}.in(p.hub)
	if err != nil {
		t.Fatal(err)
	}
	text := root.text()
	if !strings.Contains(text, "dpo") || !strings.Contains(text, "QLoRA takes") {
		t.Errorf("%s", text)
	}
	c := Chooser{File: file}
	a := plan.Answers{Goal: "reasoning", Check: "answers", Device: "a100", Model: "Llama-2-7B", Length: 512}
	if said := c.write(a); !strings.HasPrefix(said, "written") {
		t.Fatal(said)
	}
	run, err := ftlib.ReadFile(file)
	if err != nil || run.Method.STaR == nil || run.Validate() != nil {
		t.Errorf("%+v %v", run.Method, err)
	}
	if said := c.write(a); !strings.Contains(said, "there already") {
		t.Error(said)
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Error(err)
	}
}
