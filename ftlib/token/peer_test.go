package token

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"ftlab/internal/testkit"
)

// peerCase is a question to testdata/peer.py, peerAnswer its answer.
type peerCase struct {
	Text    *string `json:"text,omitempty"`
	IDs     []int32 `json:"ids,omitempty"`
	Pattern string  `json:"pattern,omitempty"`
}

type peerAnswer struct {
	IDs     []int32  `json:"ids"`
	Special []int32  `json:"special"`
	Offsets [][2]int `json:"offsets"`
	Decoded string   `json:"decoded"`
	Plain   string   `json:"plain"`
}

// askPeer runs the cases through the Python packages.
func askPeer(t *testing.T, path string, cases []peerCase) []peerAnswer {
	python := os.Getenv("FTLAB_PYTHON")
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, c := range cases {
		if err := enc.Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(python, filepath.Join("testdata", "peer.py"), path)
	cmd.Stdin = &in
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", python, err)
	}
	answers := make([]peerAnswer, 0, len(cases))
	sc := bufio.NewScanner(bytes.NewReader(out))
	sc.Buffer(nil, 1<<26)
	for sc.Scan() {
		var a peerAnswer
		if err := json.Unmarshal(sc.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(cases) {
		t.Fatalf("%d answers to %d cases", len(answers), len(cases))
	}
	return answers
}

// needPeer skips the test where no Python with the peer is named.
func needPeer(t *testing.T) {
	if os.Getenv("FTLAB_PYTHON") == "" {
		t.Skip("SKIPPED: FTLAB_PYTHON names no python with the packages tokenizers and sentencepiece")
	}
}

// peerTexts is how many random texts each tokenizer is asked about.
func peerTexts(t *testing.T) int {
	if s := os.Getenv("FTLAB_PEER_TEXTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("FTLAB_PEER_TEXTS: %v", err)
		}
		return n
	}
	return 2000
}

// peerFiles are the tokenizers at hand: the golden set and real ones.
func peerFiles(t *testing.T) map[string]string {
	files := map[string]string{}
	golden, _ := filepath.Glob(filepath.Join(testkit.Golden(t, "tokenizers"), "*", "tokenizer.json"))
	own, _ := filepath.Glob(filepath.Join("testdata", "*", "tokenizer.json"))
	for _, f := range append(golden, own...) {
		files[filepath.Base(filepath.Dir(f))] = f
	}
	for _, name := range []string{"tokenizers/tinyllama", "tokenizers/qwen2.5", "tokenizers/phi-2", "stories260K"} {
		t.Run("find/"+name, func(t *testing.T) {
			files[name] = testkit.SharedData(t, name+"/tokenizer.json")
		})
	}
	return files
}

// TestPeer compares random texts and ids with the tokenizers package.
func TestPeer(t *testing.T) {
	needPeer(t)
	n := peerTexts(t)
	for name, file := range peerFiles(t) {
		t.Run(name, func(t *testing.T) {
			tok, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			cases := randomCases(tok, uint64(n), n)
			bare := bareTokenizer(t, file)
			comparePeer(t, bare, cases, askPeer(t, file, cases))
		})
	}
}

// bareTokenizer is the tokenizer without what the files beside it say: the
// tokenizers package reads none of them.
func bareTokenizer(t *testing.T, file string) *Tokenizer {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := parse(data, side{})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func comparePeer(t *testing.T, tok *Tokenizer, cases []peerCase, want []peerAnswer) {
	wrong := 0
	fail := func(format string, args ...any) {
		if wrong++; wrong <= 12 {
			t.Errorf(format, args...)
		}
	}
	for i, c := range cases {
		w := want[i]
		ids := c.IDs
		if c.Text != nil {
			got, spans := tok.EncodeOffsets(*c.Text, false)
			ids = tok.Encode(*c.Text, true)
			switch offsets := inCharacters(*c.Text, spans); {
			case !slices.Equal(got, w.IDs):
				fail("%q: ids %v, want %v", *c.Text, got, w.IDs)
			case !slices.Equal(ids, w.Special):
				fail("%q: ids with special %v, want %v", *c.Text, ids, w.Special)
			case !slices.Equal(offsets, w.Offsets):
				fail("%q: ids %v offsets\n %v, want\n %v", *c.Text, ids, offsets, w.Offsets)
			}
			ids = w.Special
		}
		if got := tok.Decode(ids, false); got != w.Decoded {
			fail("%v: decoded %q, want %q", ids, got, w.Decoded)
		}
		if got := tok.Decode(ids, true); got != w.Plain {
			fail("%v: decoded without special %q, want %q", ids, got, w.Plain)
		}
		if got := streamed(tok, ids); got != w.Decoded {
			fail("%v: streamed %q, want %q", ids, got, w.Decoded)
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d cases differ", wrong, len(cases))
	}
}

// streamed decodes one id at a time.
func streamed(tok *Tokenizer, ids []int32) string {
	s := tok.NewStream()
	out := ""
	for _, id := range ids {
		out += s.Add(id)
	}
	return out + s.Flush()
}

// TestPeerTransformers compares whole directories, configuration included, with what
// transformers loads from them.
func TestPeerTransformers(t *testing.T) {
	needPeer(t)
	r := newRandomText(31)
	var in bytes.Buffer
	var texts []string
	for range peerTexts(t) / 5 {
		s := r.text()
		texts = append(texts, s)
		if err := json.NewEncoder(&in).Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range peerFiles(t) {
		t.Run(name, func(t *testing.T) {
			tok, err := Load(filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			if tok.Config().Class == "LlamaTokenizer" {
				t.Skip("transformers 5 builds this class anew instead of reading its tokenizer.json")
			}
			lines := bytes.Split(bytes.TrimSpace(runPython(t, in.Bytes(), "peer_load.py", filepath.Dir(file))), []byte("\n"))
			head := map[string]any{}
			if err := json.Unmarshal(lines[0], &head); err != nil {
				t.Fatal(err)
			}
			for what, id := range map[string]int32{"bos": tok.Special().BOS, "eos": tok.Special().EOS, "pad": tok.Special().PAD, "unk": tok.Special().UNK} {
				if want, ok := head[what].(float64); ok && id != int32(want) || !ok && id != -1 {
					t.Errorf("%s is %d, want %v", what, id, head[what])
				}
			}
			if template, _ := head["template"].(string); template != tok.Config().ChatTemplate {
				t.Errorf("chat template %q, want %q", tok.Config().ChatTemplate, template)
			}
			wrong := 0
			for i, line := range lines[1:] {
				var ids []int32
				if err := json.Unmarshal(line, &ids); err != nil {
					t.Fatal(err)
				}
				if got := tok.Encode(texts[i], true); !slices.Equal(got, ids) {
					if wrong++; wrong < 6 {
						t.Errorf("%q: %v, want %v", texts[i], got, ids)
					}
				}
			}
		})
	}
}
