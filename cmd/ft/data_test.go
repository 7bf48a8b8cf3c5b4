package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

// dataFile writes a data file and returns its path.
func dataFile(t *testing.T, name, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDataShow(t *testing.T) {
	path := dataFile(t, "a.jsonl", `{"question":"2+3?","answer":"2+3=<<2+3=5>>5\n#### 5"}`+"\n")
	code, out, stderr := ft(t, "data", "show", path)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"reasoning (gsm8k)", "all 1 row", "problem  question", "answer   answer", "row 1 ──", "2+3=<<2+3=5>>5"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b[") {
		t.Error("colour where there is no terminal")
	}
	code, out, _ = ft(t, "data", "show", path, "--columns", "calculator=strip", "--json")
	var v struct {
		Mapping struct{ Form string }
		Samples []struct{ Record map[string]any }
	}
	if err := json.Unmarshal([]byte(out), &v); code != exitOK || err != nil || v.Mapping.Form != "gsm8k" || v.Samples[0].Record["reasoning"] != "2+3=5" {
		t.Errorf("exit code %d, %v, %s", code, err, out)
	}
}

func TestDataExitCodes(t *testing.T) {
	good := dataFile(t, "g.jsonl", `{"prompt":"a","completion":"b"}`+"\n"+`{"prompt":"c","completion":"d"}`+"\n")
	bad := dataFile(t, "b.jsonl", `{"prompt":"a","completion":"b"}`+"\n"+`{"prompt":"c","completion":""}`+"\n{\n")
	odd := dataFile(t, "o.jsonl", `{"foo":1}`)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"check " + good, exitOK, ""},
		{"check " + bad, exitRefused, "training would refuse 2 rows"},
		{"check " + bad + " --json", exitRefused, "training would refuse 2 rows"},
		{"check " + odd, exitRefused, "no known format has the columns foo"},
		{"show " + odd, exitRefused, "no known format"},
		{"show " + odd + " --format prompt --columns prompt=foo", exitOK, ""},
		{"show " + good + ".gone", exitUsage, "no such file"},
		{"show " + good + " --limit -1", exitUsage, "--limit"},
		{"show " + good + " --split middle", exitUsage, "--split"},
		{"show", exitUsage, "arg"},
		{"convert " + good, exitUsage, "required flag"},
		{"convert " + good + " --out x.csv", exitUsage, "name it .parquet or .jsonl"},
		{"convert " + good + " --to steps --out x.parquet", exitUsage, "cannot become steps"},
		{"convert " + good + " --out " + good, exitUsage, "would replace its own source"},
		{"convert " + bad + " --strict --out x.parquet", exitRefused, "do not fit"},
		{"split " + good + " --fraction 2 --out x", exitUsage, "--fraction"},
		{"stats " + dataFile(t, "e.jsonl", "{\n"), exitRefused, "no row can be read"},
	} {
		code, out, stderr := ft(t, append([]string{"data"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("ft data %s: exit code %d, want %d; %q, want %q", c.args, code, c.code, stderr, c.want)
		}
		if strings.Contains(c.args, "--json") && !json.Valid([]byte(out)) {
			t.Errorf("ft data %s: no JSON: %s", c.args, out)
		}
	}
}

func TestDataCheckReport(t *testing.T) {
	path := dataFile(t, "b.jsonl", `{"prompt":"a","completion":"b"}`+"\n"+`{"prompt":"c","completion":""}`+"\n"+`{"prompt":"A","completion":"B"}`+"\n")
	_, out, _ := ft(t, "data", "check", path)
	for _, want := range []string{"3, of which 2 make a record", "rows by length in words", `column "completion": one-sided: empty`, "row 2", "the same as an earlier row", "row 3 (like row 1)"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestDataConvertAndSplit(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		b.WriteString(`{"instruction":"Say ` + strings.Repeat("x", i+1) + `","output":"y"}` + "\n")
	}
	path := dataFile(t, "a.jsonl", b.String())
	dir := t.TempDir()
	out := filepath.Join(dir, "c.parquet")
	if code, stdout, stderr := ft(t, "data", "convert", path, "--out", out); code != exitOK || !strings.Contains(stdout, "100 records of kind chat") {
		t.Fatalf("convert: exit code %d %s %s", code, stdout, stderr)
	}
	var res splitResult
	code, stdout, stderr := ft(t, "data", "split", out, "--out", dir, "--fraction", "0.2", "--json")
	if err := json.Unmarshal([]byte(stdout), &res); code != exitOK || err != nil || res.TrainRows+res.HeldRows != 100 || res.HeldRows < 8 {
		t.Fatalf("split: exit code %d %s %s", code, stdout, stderr)
	}
	// A directory with both sides: train is read, validation is compared with it.
	os.Remove(out)
	if code, stdout, stderr := ft(t, "data", "check", dir); code != exitOK || !strings.Contains(stdout, "with validation.parquet") || strings.Contains(stdout, "leakage: a validation row that is in") {
		t.Errorf("check: exit code %d %s %s", code, stdout, stderr)
	}
}

func TestDataOnRealFiles(t *testing.T) {
	path := testkit.SharedData(t, "prm/samples_prm800k.jsonl")
	for _, command := range []string{"show", "check", "stats"} {
		t.Setenv("COLUMNS", "80")
		code, out, stderr := ft(t, "data", command, path)
		if code != exitOK {
			t.Errorf("%s: exit code %d: %s", command, code, stderr)
		}
		for _, line := range strings.Split(out, "\n") {
			if cells(line) > 80 && !strings.Contains(line, path) {
				t.Errorf("%s: a line of %d columns: %s", command, cells(line), line)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"one two three", 7, "one two|three"},
		{"abcdefghij", 4, "abcd|efgh|ij"},
		{"a\n\nb", 9, "a||b"},
		{"日本語の文", 4, "日本|語の|文"},
		{"tab\there\x1b[31m", 40, "tab here␛[31m"},
	} {
		if got := strings.Join(wrap(c.in, c.n), "|"); got != c.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
	for _, c := range []struct {
		n    int
		want string
	}{{0, "0"}, {999, "999"}, {1000, "1,000"}, {-1234567, "-1,234,567"}} {
		if got := count(c.n); got != c.want {
			t.Errorf("count(%d) = %s", c.n, got)
		}
	}
}
