//go:build unix

package jupyter

import (
	"encoding/json"
	"errors"
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

// look has gonb complete or inspect what is at the cursor.
func (k *Kernel) look(m *Message, kind string) error {
	content := map[string]json.RawMessage{}
	if err := json.Unmarshal(m.Content, &content); err != nil {
		return err
	}
	var r struct {
		Code   string
		Cursor *int `json:"cursor_pos"`
	}
	if err := json.Unmarshal(m.Content, &r); err != nil {
		return err
	}
	cursor := utf8.RuneCountInString(r.Code)
	if r.Cursor != nil {
		cursor = *r.Cursor
	}
	code, at := embed(r.Code)
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
	answer, err := k.ask(&request, nil)
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
	if matches := fitting([]rune(r.Code), got); matches != nil {
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
