package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/export"
	"ftlab/ftlib/llm"
	"ftlab/internal/testkit"
)

// tinyAdapter is models/ft-tiny and a new adapter of it.
func tinyAdapter(t *testing.T) (model, adapter string) {
	t.Helper()
	model, adapter = filepath.Join(testkit.Root(), "models", "ft-tiny"), filepath.Join(t.TempDir(), "adapter")
	m, err := llm.Load(testkit.Backend(t), model, llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, err := m.NewAdapter(ftlib.LoRA{R: 2, Init: "pissa"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Save(adapter, model); err != nil {
		t.Fatal(err)
	}
	return model, adapter
}

func TestMergeAndExport(t *testing.T) {
	model, adapter := tinyAdapter(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "gguf")
	code, stdout, stderr := ft(t, "export", "--model", model, "--adapter", adapter, "--to", "gguf", "--dtype", "q8_0", "--out", out, "--verify", "--json")
	var r export.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK || r.Checked == nil || r.Checked.SameTop < 0.9 {
		t.Fatalf("%d %s %s", code, stdout, stderr)
	}
	merged := filepath.Join(dir, "merged")
	if code, _, stderr := ft(t, "merge", "--model", model, "--adapter", adapter, "--out", merged); code != exitOK {
		t.Fatalf("%d %s", code, stderr)
	}
	receipt, err := export.ReadReceipt(merged)
	if err != nil || receipt.Base == nil || len(receipt.Adapters) != 1 || receipt.Template == "" || receipt.Token == "" {
		t.Errorf("receipt %+v, %v", receipt, err)
	}
	if code, stdout, _ := ft(t, "export", "--check", merged); code != exitOK || !strings.Contains(stdout, "is as it was written") {
		t.Errorf("checked: %d %s", code, stdout)
	}
	if err := os.WriteFile(filepath.Join(merged, "config.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := ft(t, "export", "--check", merged); code != exitFailure || !strings.Contains(stdout, "config.json has") {
		t.Errorf("changed: %d %s", code, stdout)
	}
	both := filepath.Join(dir, "both")
	if code, _, stderr := ft(t, "adapters", "merge", "--model", model, "--out", both, adapter+"=0.5", adapter+"=0.5"); code != exitOK {
		t.Fatalf("%d %s", code, stderr)
	}
	if code, stdout, _ := ft(t, "adapters", "show", both); code != exitOK || !strings.Contains(stdout, "r=8") { // PiSSA of 2 is plain of 4, twice
		t.Errorf("%d %s", code, stdout)
	}
	if code, stdout, _ := ft(t, "adapters", "list", dir); code != exitOK || strings.Count(stdout, "LORA") != 1 {
		t.Errorf("%d %s", code, stdout)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"the model that is running", []string{"merge", "--model", model, "--adapter", adapter, "--out", model}},
		{"nothing is overwritten", []string{"merge", "--model", model, "--adapter", adapter, "--out", out}},
		{"unknown quantization", []string{"export", "--model", model, "--to", "gguf", "--dtype", "Q9", "--out", filepath.Join(dir, "new")}},
		{"name it with --adapter", []string{"merge", "--model", model, "--out", filepath.Join(dir, "new")}},
		{"no size such as", []string{"export", "--model", model, "--max-shard-size", "huge", "--out", filepath.Join(dir, "new")}},
	} {
		if code, _, stderr := ft(t, c.args...); code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %d %s", c.args, code, stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a refused export left a directory")
	}
}

// An answer under way is finished when the server is told to end.
func TestServeEndsGracefully(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun, goOn := make(chan bool), make(chan bool)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-goOn
		_, _ = io.WriteString(w, "whole")
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- serveUntil(ctx, l, h) }()
	got := make(chan string)
	go func() {
		r, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer r.Body.Close()
		data, _ := io.ReadAll(r.Body)
		got <- string(data)
	}()
	<-begun
	stop()
	close(goOn)
	if text := <-got; text != "whole" {
		t.Errorf("the answer under way is %q", text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
