package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/chat"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// open serves models/ft-tiny, and under "other" an adapter that makes it stutter.
func open(t *testing.T) (*Server, *httptest.Server) {
	t.Helper()
	dir := filepath.Join(testkit.Root(), "models", "ft-tiny")
	m, err := llm.Load(testkit.Backend(t), dir, llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	tok, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := chat.Find("", dir)
	if err != nil {
		t.Fatal(err)
	}
	other, err := m.NewAdapter(ftlib.LoRA{R: 2, SaveModules: []string{"lm_head"}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := llm.NewEngine(m, llm.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range e.Trainable() { // a head of zeros: every token is as likely as any
		if name != "lm_head.weight" {
			continue
		}
		zero, err := m.Weight("lm_head.weight")
		if err != nil {
			t.Fatal(err)
		}
		clear(zero)
		x, err := llm.Floats(m.Backend, zero, e.Value(name).Shape().Dimensions...)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.SetValue(name, x); err != nil {
			t.Fatal(err)
		}
	}
	m.SetAdapter(nil)
	g, err := llm.NewGenerator(m, llm.GeneratorOptions{Tokenizer: tok, Chunk: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	s, err := New(g, Options{Model: "tiny", Adapters: map[string]*llm.Adapter{"other": other}, Tokenizer: tok, Template: tmpl, Token: "secret", Queue: 4})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(srv.Close)
	return s, srv
}

func post(t *testing.T, srv *httptest.Server, path, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequest("POST", srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer secret")
	r, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	return r
}

type choice struct {
	Index   int
	Text    string
	Message struct{ Role, Content string }
	Delta   struct{ Role, Content string }
	Reason  string          `json:"finish_reason"`
	Logp    json.RawMessage `json:"logprobs"`
}

type response struct {
	ID, Object, Model string
	Choices           []choice
	Usage             struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	}
	Error struct{ Message string }
}

func ask(t *testing.T, srv *httptest.Server, path, body string) (int, response) {
	t.Helper()
	r := post(t, srv, path, body)
	var v response
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, v
}

const hello = `"messages": [{"role": "user", "content": "Once upon a time"}]`

func TestAnswers(t *testing.T) {
	_, srv := open(t)
	code, chat := ask(t, srv, "/v1/chat/completions", `{"model": "tiny", `+hello+`, "temperature": 0, "max_tokens": 20, "logprobs": true}`)
	if code != 200 || chat.Object != "chat.completion" || chat.Model != "tiny" || len(chat.Choices) != 1 || chat.Choices[0].Message.Role != "assistant" || chat.Choices[0].Message.Content == "" {
		t.Fatalf("%d %+v", code, chat)
	}
	var lp struct {
		Content []struct {
			Token   string
			LogProb float64
		}
	}
	if err := json.Unmarshal(chat.Choices[0].Logp, &lp); err != nil || len(lp.Content) != chat.Usage.Completion || lp.Content[0].LogProb > 0 {
		t.Errorf("logprobs %s, %v; %d tokens", chat.Choices[0].Logp, err, chat.Usage.Completion)
	}
	// The same as a stream.
	r := post(t, srv, "/v1/chat/completions", `{"model": "tiny", `+hello+`, "temperature": 0, "max_tokens": 20, "stream": true, "stream_options": {"include_usage": true}}`)
	if ct := r.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("content type %q", ct)
	}
	text, why, last := "", "", ""
	var used int
	for scan := bufio.NewScanner(r.Body); scan.Scan(); {
		data, ok := strings.CutPrefix(scan.Text(), "data: ")
		if !ok {
			continue
		}
		if last = data; data == "[DONE]" {
			continue
		}
		var v response
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			t.Fatal(err)
		}
		used = v.Usage.Completion
		for _, c := range v.Choices {
			text += c.Delta.Content
			why = c.Reason
		}
	}
	if text != chat.Choices[0].Message.Content || why != chat.Choices[0].Reason || last != "[DONE]" || used != chat.Usage.Completion {
		t.Errorf("streamed %q (%s, %d tokens, %s), whole %+v", text, why, used, last, chat)
	}
	// Completions: several prompts, a seed, a stop string.
	body := `{"prompt": ["Once upon", "The"], "n": 2, "max_tokens": 12, "temperature": 0.9, "top_p": 0.95, "seed": 7}`
	_, one := ask(t, srv, "/v1/completions", body)
	_, two := ask(t, srv, "/v1/completions", body)
	if len(one.Choices) != 4 || one.Object != "text_completion" {
		t.Fatalf("%+v", one)
	}
	for i := range one.Choices {
		if one.Choices[i].Text != two.Choices[i].Text {
			t.Errorf("choice %d with one seed: %q and %q", i, one.Choices[i].Text, two.Choices[i].Text)
		}
	}
	_, long := ask(t, srv, "/v1/completions", `{"prompt": "Once upon a time", "max_tokens": 30, "temperature": 0}`)
	stop := long.Choices[0].Text[3:6]
	_, cut := ask(t, srv, "/v1/completions", `{"prompt": "Once upon a time", "max_tokens": 30, "temperature": 0, "stop": [`+string(must(json.Marshal(stop)))+`]}`)
	before, _, _ := strings.Cut(long.Choices[0].Text, stop)
	if cut.Choices[0].Text != before || cut.Choices[0].Reason != "stop" {
		t.Errorf("stopped at %q: %+v of %+v", stop, cut.Choices, long.Choices)
	}
	if _, short := ask(t, srv, "/v1/completions", `{"prompt": "Once upon a time", "max_tokens": 2, "temperature": 0}`); short.Choices[0].Reason != "length" || short.Usage.Completion != 2 {
		t.Errorf("two tokens: %+v", short)
	}
	// Another model by name.
	_, base := ask(t, srv, "/v1/completions", `{"model": "tiny", "prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}`)
	_, other := ask(t, srv, "/v1/completions", `{"model": "other", "prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}`)
	if base.Choices[0].Text == other.Choices[0].Text || other.Model != "other" {
		t.Errorf("model and adapter write the same: %q", other.Choices[0].Text)
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

func TestRefusals(t *testing.T) {
	_, srv := open(t)
	for _, c := range []struct {
		path, body, want string
		code             int
	}{
		{"/v1/chat/completions", `{`, "not the JSON", 400},
		{"/v1/chat/completions", `{}`, "messages is missing", 400},
		{"/v1/chat/completions", `{"messages": []}`, "messages is empty", 400},
		{"/v1/chat/completions", `{"model": "gpt-4", ` + hello + `}`, `no model "gpt-4"; there are tiny, other`, 404},
		{"/v1/chat/completions", `{` + hello + `, "temperature": -1}`, "temperature is -1", 400},
		{"/v1/chat/completions", `{` + hello + `, "top_p": 7}`, "top_p is 7", 400},
		{"/v1/chat/completions", `{` + hello + `, "max_tokens": 0}`, "max_tokens is 0", 400},
		{"/v1/chat/completions", `{` + hello + `, "stop": 5}`, "stop is neither", 400},
		{"/v1/chat/completions", `{` + hello + `, "stream": true, "n": 2}`, "a stream has n = 1", 400},
		{"/v1/chat/completions", `{` + hello + `, "frequency_penalty": 1}`, "not supported", 400},
		{"/v1/completions", `{"prompt": 5}`, "neither text nor token ids", 400},
		{"/v1/completions", `{"prompt": [[99999]]}`, "not in the vocabulary", 400},
		{"/v1/completions", `{"prompt": [[99999]], "stream": true}`, "not in the vocabulary", 400},
		{"/v1/embeddings", `{}`, "there is no POST /v1/embeddings", 404},
	} {
		code, v := ask(t, srv, c.path, c.body)
		if code != c.code || !strings.Contains(v.Error.Message, c.want) {
			t.Errorf("%s %s: %d %q, want %d %q", c.path, c.body, code, v.Error.Message, c.code, c.want)
		}
	}
	for _, token := range []string{"", "Bearer wrong", "secret"} {
		for _, path := range []string{"/v1/models", "/v1/chat/completions"} {
			req, err := http.NewRequest(map[bool]string{true: "GET", false: "POST"}[path == "/v1/models"], srv.URL+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", token)
			r, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if r.StatusCode != 401 {
				t.Errorf("%s with the token %q: %d", path, token, r.StatusCode)
			}
		}
	}
	r, err := srv.Client().Get(srv.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil || !bytes.Contains(data, []byte("<title>FTLab chat")) || bytes.Contains(data, []byte("http://")) || bytes.Contains(data, []byte("https://")) {
		t.Errorf("the page: %v, %d bytes; it must fetch nothing from elsewhere", err, len(data))
	}
}

// While one text is written others wait in turn; who is one too many is told so, and who
// goes away leaves the queue.
func TestQueue(t *testing.T) {
	s, srv := open(t)
	done, err := s.wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(context.Background())
	left := make(chan error)
	go func() { _, err := s.wait(gone); left <- err }()
	leave()
	if err := <-left; err != context.Canceled {
		t.Errorf("who left got %v", err)
	}
	var wait sync.WaitGroup
	codes := make(chan int, 4)
	for range 4 {
		wait.Go(func() {
			code, _ := ask(t, srv, "/v1/completions", `{"prompt": "The", "max_tokens": 4}`)
			codes <- code
		})
	}
	for s.waiting.Load() < 5 { // until the queue is full: they cannot leave it
		runtime.Gosched()
	}
	r := post(t, srv, "/v1/completions", `{"prompt": "The", "max_tokens": 4}`)
	if r.StatusCode != 429 || r.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", r.StatusCode)
	}
	done()
	wait.Wait()
	for range 4 {
		if code := <-codes; code != 200 {
			t.Errorf("who waited got %d", code)
		}
	}
	if n := s.waiting.Load(); n != 0 {
		t.Errorf("%d wait still", n)
	}
}
