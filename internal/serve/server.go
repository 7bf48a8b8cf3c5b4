package serve

import (
	"context"
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/token"
)

// Options say what is served.
type Options struct {
	Model     string                  // name of the model without an adapter
	Adapters  map[string]*llm.Adapter // by the model name that chooses them
	Tokenizer *token.Tokenizer
	Template  *chat.Template            // nil: no chat, completions only
	Templates map[string]*chat.Template // of adapters that were trained with one of their own
	Token     string                    // that requests must bear; "": none
	Queue     int                       // requests that may wait; 0: 32
	MaxTokens int                       // of an answer whose request does not say; 0: 512
}

// Server answers requests. Its methods are safe for use by several goroutines.
type Server struct {
	o       Options
	g       *llm.Generator
	turn    chan struct{} // held by who writes
	waiting atomic.Int32
	count   atomic.Int64
	started int64
}

// New serves what a generator writes. The generator is used under one adapter after
// another; nobody else should switch its model's meanwhile.
func New(g *llm.Generator, o Options) (*Server, error) {
	if o.Tokenizer == nil {
		return nil, errors.New("serve: a tokenizer is needed")
	}
	if o.Model == "" {
		return nil, errors.New("serve: the model needs a name")
	}
	if _, twice := o.Adapters[o.Model]; twice {
		return nil, fmt.Errorf("serve: %q names the model and an adapter", o.Model)
	}
	if o.Queue == 0 {
		o.Queue = 32
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = 512
	}
	return &Server{o: o, g: g, turn: make(chan struct{}, 1), started: time.Now().Unix()}, nil
}

//go:embed page.html
var page []byte

// Handler answers GET / (the chat page), /health and /v1/models, and POST
// /v1/chat/completions and /v1/completions.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		_, _ = w.Write(page)
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"status": "ok", "waiting": s.waiting.Load()})
	})
	mux.HandleFunc("GET /v1/models", s.guard(s.models))
	mux.HandleFunc("POST /v1/chat/completions", s.guard(func(w http.ResponseWriter, r *http.Request) { s.complete(w, r, true) }))
	mux.HandleFunc("POST /v1/completions", s.guard(func(w http.ResponseWriter, r *http.Request) { s.complete(w, r, false) }))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "there is no %s %s; there are GET /v1/models, POST /v1/chat/completions and POST /v1/completions", r.Method, r.URL.Path)
	})
	return mux
}

// guard lets requests through that bear the token.
func (s *Server) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if s.o.Token != "" && (!ok || subtle.ConstantTimeCompare([]byte(given), []byte(s.o.Token)) != 1) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			fail(w, http.StatusUnauthorized, "the header Authorization: Bearer TOKEN is missing or wrong; ft serve printed the token")
			return
		}
		next(w, r)
	}
}

func (s *Server) names() []string {
	names := []string{}
	for name := range s.o.Adapters {
		names = append(names, name)
	}
	sort.Strings(names)
	return append([]string{s.o.Model}, names...)
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	list := []map[string]any{}
	for _, name := range s.names() {
		list = append(list, map[string]any{"id": name, "object": "model", "created": s.started, "owned_by": "ftlab"})
	}
	reply(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

// choose finds the adapter that a model name stands for; nil for the model itself.
func (s *Server) choose(name string) (*llm.Adapter, error) {
	if name == "" || name == s.o.Model {
		return nil, nil
	}
	if a, ok := s.o.Adapters[name]; ok {
		return a, nil
	}
	return nil, fmt.Errorf("there is no model %q; there are %s", name, strings.Join(s.names(), ", "))
}

// errBusy says that too many wait already.
var errBusy = errors.New("too many requests are waiting; try again later")

// wait waits for the turn to write, in no order but that of the runtime. done gives it on.
func (s *Server) wait(ctx context.Context) (done func(), err error) {
	if int(s.waiting.Add(1)) > s.o.Queue+1 { // who writes is counted too
		s.waiting.Add(-1)
		return nil, errBusy
	}
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn; s.waiting.Add(-1) }, nil
	case <-ctx.Done():
		s.waiting.Add(-1)
		return nil, ctx.Err()
	}
}

// complete answers a request for a chat or a completion.
func (s *Server) complete(w http.ResponseWriter, r *http.Request, isChat bool) {
	q, err := readRequest(w, r, isChat)
	if err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	adapter, err := s.choose(q.Model)
	if err != nil {
		fail(w, http.StatusNotFound, "%v", err)
		return
	}
	if q.Model == "" {
		q.Model = s.o.Model
	}
	prompts, err := s.prompts(q, isChat)
	if err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	o, err := q.sampling(s.o.MaxTokens)
	if err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	done, err := s.wait(r.Context())
	switch {
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusTooManyRequests, "%v", err)
		return
	case err != nil:
		return // nobody is there any more
	}
	defer done()
	a := &answer{s: s, q: q, chat: isChat, w: w, created: time.Now().Unix()}
	a.id = fmt.Sprintf("%s-%d-%d", map[bool]string{true: "chatcmpl", false: "cmpl"}[isChat], a.created, s.count.Add(1))
	if q.Stream {
		a.stream(r.Context(), adapter, prompts[0], o)
		return
	}
	var all [][]int32
	var adapters []*llm.Adapter
	for _, p := range prompts {
		all = append(all, slices.Repeat([][]int32{p}, q.N)...)
	}
	for range all {
		adapters = append(adapters, adapter)
	}
	outs, err := s.g.GenerateUnder(r.Context(), adapters, all, o)
	if err != nil {
		if r.Context().Err() == nil {
			fail(w, http.StatusBadRequest, "%v", err)
		}
		return
	}
	a.whole(prompts, outs)
}

// prompts are the tokens to continue.
func (s *Server) prompts(q *request, isChat bool) ([][]int32, error) {
	tok := s.o.Tokenizer
	if !isChat {
		return q.plain(tok)
	}
	t := s.o.Template
	if own := s.o.Templates[q.Model]; own != nil {
		t = own
	}
	if t == nil {
		return nil, errors.New("this model has no chat template; use /v1/completions, or start ft serve with --template")
	}
	msgs, err := chat.ParseMessages(q.Messages)
	if err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	if len(msgs) == 0 {
		return nil, errors.New("messages is empty")
	}
	text, err := t.Text(msgs, chat.RenderOptions{AddGenerationPrompt: true})
	if err != nil {
		return nil, err
	}
	return [][]int32{tok.Encode(text, false)}, nil
}

func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // an error is of the connection, which nobody reads
}

// fail answers with an error in OpenAI's form.
func fail(w http.ResponseWriter, code int, format string, args ...any) {
	kind := "invalid_request_error"
	if code >= 500 {
		kind = "server_error"
	}
	reply(w, code, map[string]any{"error": map[string]any{"message": fmt.Sprintf(format, args...), "type": kind, "param": nil, "code": code}})
}
