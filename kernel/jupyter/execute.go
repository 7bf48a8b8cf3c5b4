//go:build unix

package jupyter

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
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
	// Before the front end hears that the cell runs: it may interrupt it at once.
	k.interrupted.Store(false)
	k.begun.Add(1)
	k.running.Store(true)
	if !r.Silent {
		k.tell(m, "execute_input", map[string]any{"code": r.Code, "execution_count": k.count})
	}
	k.current.set(m)
	f, rest := k.cell(m, r)
	k.running.Store(false)
	k.current.set(nil)
	if f != nil {
		return k.fail(m, r, *f)
	}
	if rest == nil {
		rest = map[string]json.RawMessage{"status": json.RawMessage(`"ok"`)}
	}
	rest["execution_count"] = json.RawMessage(mustJSON(k.count))
	rest["user_expressions"] = json.RawMessage("{}")
	if rest["payload"] == nil {
		rest["payload"] = json.RawMessage("[]")
	}
	return k.reply(k.front.shell, m, "execute_reply", rest)
}

// cell does what a cell says. It returns its failure, or what gonb replied of it.
func (k *Kernel) cell(m *Message, r executeRequest) (*failure, map[string]json.RawMessage) {
	began := time.Now()
	c, err := k.prepare(m, r)
	if err != nil {
		return &failure{"KernelError", err.Error(), []string{err.Error()}}, nil
	}
	if k.interrupted.Load() { // before it came to gonb
		return wasInterrupted(), nil
	}
	magic := k.doMagic(m, r.Code, Call{Dir: c.folder(), Temp: c.dir, Show: func(text, html string) { k.display(m, text, html) }})
	if magic.fail != nil {
		return magic.fail, nil
	}
	if strings.TrimSpace(magic.code) == "" {
		return nil, nil
	}
	p := Rewrite(magic.code)
	typed := map[int]source{0: {count: k.count, lines: strings.Split(r.Code, "\n"), from: p.Lines}}
	if f := check(magic.code, p, 0, typed); f != nil {
		return f, nil
	}
	got, out, err := k.runCell(c, m, r.Code, p.Code, p.Lines)
	if err == nil && got.Status == "error" && p.Plain != "" && strings.Contains(got.Value, "(no value) used as value") {
		got, out, err = k.runCell(c, m, r.Code, p.Plain, p.Lines)
	}
	out.finish(k, m)
	if err != nil {
		if _, start := k.ready(); start != nil {
			err = start
		} else if errors.Is(err, errChildGone) {
			err = errors.New("gonb ended while it had this cell: " + strings.Join(k.notices, " "))
			k.notices = nil
		}
		return &failure{"KernelError", err.Error(), []string{err.Error()}}, nil
	}
	var f *failure
	if got.Status == "error" {
		why := explain(got.failure, out.crashed(), k.interrupted.Load(), k.cells)
		f = &why
	} else if magic.shell && out.failed() {
		last := out.lastLine()
		f = &failure{"ft", strings.TrimPrefix(last, "ft: "), []string{last}}
		if k.interrupted.Load() {
			f = wasInterrupted()
		}
	}
	if f == nil || f.Name != "CompileError" && f.Name != "Interrupted" {
		compiled := scan(magic.code)
		k.ledger.add(compiled.declarations())
	}
	if f != nil {
		return f, nil
	}
	for _, held := range out.heldBack() { // it looked like a crash, but the cell went on
		k.publish(held)
	}
	data, err := takeResult(c.result)
	if err != nil {
		return &failure{"KernelError", err.Error(), []string{err.Error()}}, nil
	}
	if data != nil && !r.Silent {
		k.tell(m, "execute_result", map[string]any{"execution_count": k.count, "data": data, "metadata": map[string]any{}})
	}
	if magic.timed && !r.Silent {
		k.tell(m, "stream", map[string]string{"name": "stdout", "text": times(c.dir, began, time.Now())})
	}
	return nil, got.rest
}

// display draws in a cell: text, and HTML where there is some.
func (k *Kernel) display(m *Message, text, html string) {
	data := map[string]string{"text/plain": strings.TrimRight(text, "\n")}
	if html == "" {
		k.tell(m, "stream", map[string]string{"name": "stdout", "text": text})
		return
	}
	data["text/html"] = html
	k.tell(m, "display_data", map[string]any{"data": data, "metadata": map[string]any{}, "transient": map[string]any{}})
}

// cellReply is gonb's execute_reply.
type cellReply struct {
	Status string `json:"status"`
	failure
	rest map[string]json.RawMessage
}

// runCell has gonb compile and run code, which was made of what was typed.
func (k *Kernel) runCell(c *child, m *Message, typed, code string, from []int) (cellReply, *output, error) {
	out := &output{publish: k.publish}
	takeResult(c.result) // of a cell that failed after it had written it
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
	watched := make(chan struct{})
	k.gonbAsks.Store(strings.Contains(code, "%with_inputs") || strings.Contains(code, "%with_password"))
	k.input.Store(nil)
	go k.watch(c, m, watched)
	answer, err := c.ask(&request, out)
	close(watched)
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
