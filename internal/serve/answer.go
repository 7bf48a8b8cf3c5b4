package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"ftlab/ftlib/llm"
)

// answer is one response, whole or as it is written.
type answer struct {
	s       *Server
	q       *request
	chat    bool
	w       http.ResponseWriter
	id      string
	created int64
}

// reason is why a text ended, in OpenAI's words.
func reason(f llm.Finish) string {
	if f == llm.FinishLength || f == llm.FinishContext {
		return "length"
	}
	return "stop"
}

func (a *answer) head(object string) map[string]any {
	return map[string]any{"id": a.id, "object": object, "created": a.created, "model": a.q.Model}
}

func usage(prompt, written int) map[string]any {
	return map[string]any{"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
}

// logprobs are those of some tokens in the form of the endpoint; nil unless asked for.
func (a *answer) logprobs(ids []int32, logp []float32, at int) any {
	if !a.q.logprobs {
		return nil
	}
	type entry struct {
		Token   string  `json:"token"`
		LogProb float32 `json:"logprob"`
		Bytes   []int   `json:"bytes"`
		Top     []any   `json:"top_logprobs"`
	}
	content, texts, offsets := []entry{}, []string{}, []int{}
	for i, id := range ids {
		text := a.s.o.Tokenizer.Decode([]int32{id}, false)
		e := entry{Token: text, LogProb: logp[i], Top: []any{}}
		for _, b := range []byte(text) {
			e.Bytes = append(e.Bytes, int(b))
		}
		content, texts, offsets = append(content, e), append(texts, text), append(offsets, at)
		at += len(text)
	}
	if a.chat {
		return map[string]any{"content": content}
	}
	return map[string]any{"tokens": texts, "token_logprobs": logp, "top_logprobs": nil, "text_offset": offsets}
}

// whole answers with finished texts.
func (a *answer) whole(prompts [][]int32, outs []llm.Output) {
	choices := []map[string]any{}
	read, written := 0, 0
	for _, p := range prompts {
		read += len(p)
	}
	for i, out := range outs {
		written += len(out.IDs)
		c := map[string]any{"index": i, "finish_reason": reason(out.Finish), "logprobs": a.logprobs(out.IDs, out.LogProbs, 0)}
		if a.chat {
			c["message"] = map[string]any{"role": "assistant", "content": out.Text}
		} else {
			c["text"] = out.Text
		}
		choices = append(choices, c)
	}
	v := a.head(map[bool]string{true: "chat.completion", false: "text_completion"}[a.chat])
	v["choices"], v["usage"] = choices, usage(read, written)
	reply(a.w, http.StatusOK, v)
}

// stream sends a text as it is written, as server-sent events. The status is sent with
// the first of them, so that what is refused before has a status of its own.
func (a *answer) stream(ctx context.Context, adapter *llm.Adapter, prompt []int32, o llm.Sampling) {
	begun := false
	send := func(v any) bool {
		if !begun {
			begun = true
			a.w.Header().Set("Content-Type", "text/event-stream")
			a.w.Header().Set("Cache-Control", "no-cache")
			a.w.WriteHeader(http.StatusOK)
		}
		data, err := json.Marshal(v)
		if err == nil {
			_, err = fmt.Fprintf(a.w, "data: %s\n\n", data)
		}
		if f, ok := a.w.(http.Flusher); ok && err == nil {
			f.Flush()
		}
		return err == nil
	}
	object := map[bool]string{true: "chat.completion.chunk", false: "text_completion"}[a.chat]
	chunk := func(delta map[string]any, text string, why any, logp any) bool {
		c := map[string]any{"index": 0, "finish_reason": why, "logprobs": logp}
		if a.chat {
			c["delta"] = delta
		} else {
			c["text"] = text
		}
		v := a.head(object)
		v["choices"] = []any{c}
		return send(v)
	}
	at := 0
	var held []int32 // tokens whose text is still to come
	var heldLogp []float32
	out, err := a.s.g.StreamUnder(ctx, adapter, prompt, o, func(p llm.Piece) bool {
		if !begun && a.chat && !chunk(map[string]any{"role": "assistant", "content": ""}, "", nil, nil) {
			return false
		}
		if p.ID >= 0 {
			held, heldLogp = append(held, p.ID), append(heldLogp, p.LogProb)
		}
		if p.Text == "" && !a.q.logprobs {
			return ctx.Err() == nil
		}
		ok := chunk(map[string]any{"content": p.Text}, p.Text, nil, a.logprobs(held, heldLogp, at))
		at += len(p.Text)
		held, heldLogp = nil, nil
		return ok && ctx.Err() == nil
	})
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && !begun:
		fail(a.w, http.StatusBadRequest, "%v", err)
		return
	case err != nil:
		send(map[string]any{"error": map[string]any{"message": err.Error(), "type": "server_error"}})
		return
	}
	chunk(map[string]any{}, "", reason(out.Finish), nil)
	if a.q.StreamOptions.Usage {
		v := a.head(object)
		v["choices"], v["usage"] = []any{}, usage(len(prompt), len(out.IDs))
		send(v)
	}
	fmt.Fprint(a.w, "data: [DONE]\n\n")
	if f, ok := a.w.(http.Flusher); ok {
		f.Flush()
	}
}
