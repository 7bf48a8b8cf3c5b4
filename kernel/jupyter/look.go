//go:build unix

package jupyter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// opening begins the body of a cell of statements.
const opening = "func main() {"

// embed puts the statements of a cell into main, so that gonb can look at them while
// they are typed. It returns where opening was put, in characters, or -1 if the cell
// stays as it is: it has none, or declarations among them.
func embed(code string) (string, int) {
	c := scan(code)
	if c.whole || c.body || c.open {
		return code, -1
	}
	first := -1
	for _, it := range c.items {
		switch {
		case it.decl && first >= 0, it.name == "main":
			return code, -1
		case !it.decl && first < 0:
			first = it.start
		}
	}
	if first < 0 {
		return code, -1
	}
	return code[:first] + opening + code[first:] + "\n}", utf8.RuneCountInString(code[:first])
}

// look answers what could be written, or what stands, at the cursor.
func (k *Kernel) look(m *Message, kind string) error {
	var r struct {
		Code   string
		Cursor *int `json:"cursor_pos"`
	}
	if err := json.Unmarshal(m.Content, &r); err != nil {
		return err
	}
	cursor := utf8.RuneCountInString(r.Code)
	if r.Cursor != nil {
		cursor = min(max(*r.Cursor, 0), cursor)
	}
	at := byteAt(r.Code, cursor)
	if answer := k.lookAtMagic(r.Code, at, kind); answer != nil {
		return k.reply(k.front.shell, m, kind, answer)
	}
	if k.looker != nil {
		ctx, stop := context.WithTimeout(k.ctx, lookTimeout)
		defer stop()
		var answer any
		var err error
		if kind == "complete_reply" {
			var found []match
			found, err = k.looker.complete(ctx, r.Code, at, &k.ledger)
			answer = completed(found, cursor)
		} else {
			var doc string
			doc, err = k.looker.inspect(ctx, r.Code, at, &k.ledger)
			answer = inspected(doc)
		}
		if err != nil {
			fmt.Fprintln(k.cfg.Log, kind+":", err)
		}
		return k.reply(k.front.shell, m, kind, answer)
	}
	return k.lookInGonb(m, kind, r.Code, cursor)
}

// completed is the content of a complete_reply: matches that replace the same place.
func completed(found []match, cursor int) any {
	start, end := cursor, cursor
	if len(found) > 0 {
		start, end = found[0].Start, max(found[0].End, cursor)
	}
	matches, typed := []string{}, []match{}
	for _, f := range found {
		if f.Start == start && !slices.Contains(matches, f.Text) {
			f.End = end
			matches, typed = append(matches, f.Text), append(typed, f)
		}
	}
	return map[string]any{"status": "ok", "matches": matches, "cursor_start": start, "cursor_end": end,
		"metadata": map[string]any{"_jupyter_types_experimental": typed}}
}

// inspected is the content of an inspect_reply.
func inspected(doc string) any {
	data := map[string]string{}
	if doc != "" {
		data["text/markdown"] = doc
		data["text/plain"] = strings.TrimSpace(strings.NewReplacer("```go\n", "", "```", "", "---\n", "").Replace(doc))
	}
	return map[string]any{"status": "ok", "found": doc != "", "data": data, "metadata": map[string]any{}}
}

// lookInGonb has gonb answer, where there is no gopls of the kernel's own.
func (k *Kernel) lookInGonb(m *Message, kind, typed string, cursor int) error {
	content := map[string]json.RawMessage{}
	if err := json.Unmarshal(m.Content, &content); err != nil {
		return err
	}
	code, at := embed(typed)
	shift := 0
	if at >= 0 && cursor >= at {
		shift = len(opening)
	}
	content["code"], content["cursor_pos"] = mustJSON(code), mustJSON(cursor+shift)
	if content["detail_level"] == nil {
		content["detail_level"] = mustJSON(0)
	}
	request := *m
	request.Content = mustJSON(content)
	answer, err := k.ask(&request)
	if err != nil {
		return k.reply(k.front.shell, m, kind, failureReply(failure{"KernelError", err.Error(), []string{err.Error()}}, k.count))
	}
	got := map[string]json.RawMessage{}
	if err := json.Unmarshal(answer.Content, &got); err != nil {
		return err
	}
	for _, name := range []string{"cursor_start", "cursor_end"} {
		var n int
		if got[name] != nil && json.Unmarshal(got[name], &n) == nil {
			got[name] = mustJSON(max(0, n-shift))
		}
	}
	if matches := fitting([]rune(typed), got); matches != nil {
		got["matches"] = mustJSON(matches)
	}
	return k.reply(k.front.shell, m, kind, got)
}

// fitting keeps the matches that begin with what is typed, if there are any: gopls also
// finds what only resembles it.
func fitting(code []rune, got map[string]json.RawMessage) []string {
	var all, out []string
	var start, end int
	if errors.Join(json.Unmarshal(got["matches"], &all), json.Unmarshal(got["cursor_start"], &start), json.Unmarshal(got["cursor_end"], &end)) != nil {
		return nil
	}
	if start < 0 || end < start || end > len(code) {
		return nil
	}
	typed := strings.ToLower(string(code[start:end]))
	for _, match := range all {
		if strings.HasPrefix(strings.ToLower(match), typed) {
			out = append(out, match)
		}
	}
	return out
}
