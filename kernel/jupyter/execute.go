//go:build unix

package jupyter

import (
	"encoding/json"
	"errors"
	"strings"
)

// executeRequest is the content of an execute_request, as far as it is used here.
type executeRequest struct {
	Code        string `json:"code"`
	Silent      bool   `json:"silent"`
	Store       *bool  `json:"store_history"` // nil: not silent
	StopOnError *bool  `json:"stop_on_error"` // nil: true
}

func failureReply(f failure, count int) any {
	return map[string]any{"status": "error", "execution_count": count, "ename": f.Name, "evalue": f.Value, "traceback": f.Trace}
}

// execute runs a cell: the messages that tell of it are all made here, except for the
// cell's output.
func (k *Kernel) execute(m *Message) error {
	var r executeRequest
	if err := json.Unmarshal(m.Content, &r); err != nil {
		return err
	}
	if k.aborting.Load() {
		return k.reply(k.front.shell, m, "execute_reply", map[string]any{"status": "aborted", "execution_count": k.count})
	}
	store := !r.Silent && (r.Store == nil || *r.Store)
	if store {
		k.count++
		if k.history != nil && strings.TrimSpace(r.Code) != "" {
			if err := k.history.Add(k.count, r.Code); err != nil {
				return err
			}
		}
	}
	if !r.Silent {
		k.tell(m, "execute_input", map[string]any{"code": r.Code, "execution_count": k.count})
	}
	p := Rewrite(r.Code)
	typed := map[int]source{0: {count: k.count, lines: strings.Split(r.Code, "\n"), from: p.Lines}}
	if f := check(r.Code, p, 0, typed); f != nil {
		return k.fail(m, r, *f)
	}
	k.interrupted.Store(false)
	k.running.Store(true)
	k.current.set(m)
	got, held, err := k.runCell(m, r.Code, p.Code, p.Lines)
	if err == nil && got.Status == "error" && p.Plain != "" && strings.Contains(got.Value, "(no value) used as value") {
		got, held, err = k.runCell(m, r.Code, p.Plain, p.Lines)
	}
	k.running.Store(false)
	k.current.set(nil)
	text, messages := held.held()
	switch {
	case err != nil:
		f := failure{"KernelError", err.Error(), []string{err.Error()}}
		return k.fail(m, r, f)
	case got.Status == "error":
		return k.fail(m, r, explain(got.failure, text, k.interrupted.Load(), k.cells))
	}
	for _, held := range messages { // it looked like a crash, but the cell went on
		k.publish(held)
	}
	if c := k.child.Load(); c != nil {
		data, err := takeResult(c.result)
		if err != nil {
			return err
		}
		if data != nil && !r.Silent {
			k.tell(m, "execute_result", map[string]any{"execution_count": k.count, "data": data, "metadata": map[string]any{}})
		}
	}
	got.rest["execution_count"] = json.RawMessage(mustJSON(k.count))
	got.rest["user_expressions"] = json.RawMessage("{}")
	if got.rest["payload"] == nil {
		got.rest["payload"] = json.RawMessage("[]")
	}
	return k.reply(k.front.shell, m, "execute_reply", got.rest)
}

// cellReply is gonb's execute_reply.
type cellReply struct {
	Status string `json:"status"`
	failure
	rest map[string]json.RawMessage
}

// runCell has gonb compile and run code, which was made of what was typed.
func (k *Kernel) runCell(m *Message, typed, code string, from []int) (cellReply, *output, error) {
	out := &output{}
	if c := k.child.Load(); c != nil {
		takeResult(c.result) // of a cell that failed after it had written it
	}
	content := map[string]json.RawMessage{}
	if err := json.Unmarshal(m.Content, &content); err != nil {
		return cellReply{}, out, err
	}
	// gonb counts every cell, so that it can tell lines of two cells apart.
	content["code"], content["silent"], content["store_history"] = mustJSON(code), mustJSON(true), mustJSON(true)
	request := *m
	request.Content = mustJSON(content)
	k.gonb++
	k.cells[k.gonb] = source{count: k.count, lines: strings.Split(typed, "\n"), sent: strings.Split(code, "\n"), from: from}
	answer, err := k.ask(&request, out)
	if err != nil {
		return cellReply{}, out, err
	}
	var got cellReply
	if err := errors.Join(json.Unmarshal(answer.Content, &got), json.Unmarshal(answer.Content, &got.rest)); err != nil {
		return got, out, err
	}
	return got, out, nil
}

// fail ends a cell with its one error, and those that wait behind it.
func (k *Kernel) fail(m *Message, r executeRequest, f failure) error {
	// Those that wait now: what comes after the reply was sent in knowledge of it.
	behind := len(k.queue)
	if !r.Silent {
		k.tell(m, "error", f)
	}
	err := k.reply(k.front.shell, m, "execute_reply", failureReply(f, k.count))
	if r.StopOnError == nil || *r.StopOnError {
		k.abort(behind)
	}
	return err
}

// abort answers the cells among the next n requests without running them; the others
// are answered as ever.
func (k *Kernel) abort(n int) {
	k.aborting.Store(true)
	defer k.aborting.Store(false)
	for range n {
		m := <-k.queue
		k.status(m, "busy")
		k.answer(m)
		k.status(m, "idle")
	}
}

// mustJSON is for values that always can be JSON.
func mustJSON(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
