package corpus

import (
	"fmt"
	"regexp"
	"strings"

	"ftlab/ftlib/chat"
)

// roleNames maps the names that data sets give to speakers.
var roleNames = map[string]string{
	"user": "user", "human": "user", "prompter": "user", "customer": "user", "instruction": "user", "question": "user",
	"assistant": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant", "chatgpt": "assistant", "ai": "assistant",
	"bard": "assistant", "bing": "assistant", "claude": "assistant", "response": "assistant", "answer": "assistant", "chatbot": "assistant",
	"system": "system", "developer": "developer",
	"tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool", "function_call": "assistant",
}

// messages reads a list of messages: {role, content} or {from, value}, or pairs
// of user and assistant text. What is wrong comes back as text; "" is well.
func messages(list []any) ([]chat.Message, string) {
	if len(list) == 0 {
		return nil, "a conversation without messages"
	}
	var out []chat.Message
	for i, e := range list {
		obj, ok := e.(map[string]any)
		if !ok {
			return nil, "messages are expected, here is " + typeName(list[0])
		}
		m, err := message(obj)
		if err != "" {
			return nil, fmt.Sprintf("message %d: %s", i+1, err)
		}
		out = append(out, m)
	}
	return out, ""
}

func message(obj map[string]any) (chat.Message, string) {
	role, okRole := firstOf(obj, "role", "from", "speaker", "author")
	content, okContent := firstOf(obj, "content", "value", "text")
	calls := obj["tool_calls"]
	if !okRole || !okContent && calls == nil {
		return chat.Message{}, "no role and content (or from and value)"
	}
	name, ok := role.(string)
	if !ok {
		return chat.Message{}, "the role is " + typeName(role)
	}
	mapped, ok := roleNames[strings.ToLower(strings.TrimSpace(name))]
	if !ok {
		return chat.Message{}, fmt.Sprintf("unknown role %q", name)
	}
	text, ok := contentText(content)
	if !ok {
		return chat.Message{}, "the content is " + typeName(content)
	}
	m := chat.Message{Role: mapped, Content: text}
	for k, v := range obj {
		switch k {
		case "role", "from", "speaker", "author", "content", "value", "text":
		case "train", "training":
			if b, ok := v.(bool); ok {
				m.Train = &b
			}
		case "weight": // 0 or 1, as in OpenAI's files
			if f, ok := asNumber(v); ok {
				b := f != 0
				m.Train = &b
			}
		default:
			if v != nil {
				if m.Extra == nil {
					m.Extra = map[string]any{}
				}
				m.Extra[k] = v
			}
		}
	}
	return m, ""
}

// contentText is the text of a message: a string, nothing (a tool call), or a
// list of parts of which all are text.
func contentText(v any) (string, bool) {
	switch x := v.(type) {
	case nil:
		return "", true
	case string:
		return x, true
	case []any:
		var b strings.Builder
		for _, p := range x {
			part, _ := p.(map[string]any)
			text, ok := part["text"].(string)
			if !ok {
				return "", false
			}
			b.WriteString(text)
		}
		return b.String(), true
	}
	return "", false
}

func firstOf(obj map[string]any, keys ...string) (any, bool) {
	for _, k := range keys {
		if v, ok := obj[k]; ok {
			return v, true
		}
	}
	return nil, false
}

func makeChat(in *input) ([]Record, *RowError) {
	msgs, err := messages(in.list("messages"))
	if err != "" {
		in.fail("messages", err)
		return nil, in.err
	}
	msgs = withSystem(msgs, in.optional("system"))
	return []Record{{Messages: msgs}}, in.err
}

// withSystem puts a system message first, where there is none yet.
func withSystem(msgs []chat.Message, system string) []chat.Message {
	if strings.TrimSpace(system) == "" || len(msgs) > 0 && msgs[0].Role == "system" {
		return msgs
	}
	return append([]chat.Message{{Role: "system", Content: system}}, msgs...)
}

func makeInstruction(in *input) ([]Record, *RowError) {
	user := in.text("instruction")
	if extra := in.optional("input"); strings.TrimSpace(extra) != "" {
		user += "\n\n" + extra
	}
	output := ""
	switch v := in.any("output").(type) {
	case []any: // several reference answers: the first one is trained
		if len(v) == 0 {
			in.fail("output", "an empty list")
		} else if s, ok := scalarText(v[0]); ok {
			output = s
		} else {
			in.fail("output", "text is expected, here is "+typeName(v))
		}
	default:
		output = in.text("output")
	}
	msgs := withSystem(nil, in.optional("system"))
	if in.has("history") {
		past, err := pairs(in.any("history"))
		if err != "" {
			in.fail("history", err)
		}
		msgs = append(msgs, past...)
	}
	msgs = append(msgs, chat.Message{Role: "user", Content: user}, chat.Message{Role: "assistant", Content: output})
	return []Record{{Messages: msgs}}, in.err
}

// pairs reads an alpaca history: a list of [user, assistant] pairs, or messages.
func pairs(v any) ([]chat.Message, string) {
	list, ok := v.([]any)
	if !ok {
		return nil, "a list of pairs is expected, here is " + typeName(v)
	}
	var out []chat.Message
	for i, e := range list {
		switch p := e.(type) {
		case []any:
			if len(p) != 2 {
				return nil, fmt.Sprintf("turn %d has %d texts, 2 are expected", i+1, len(p))
			}
			user, okU := p[0].(string)
			answer, okA := p[1].(string)
			if !okU || !okA {
				return nil, fmt.Sprintf("turn %d is no pair of texts", i+1)
			}
			out = append(out, chat.Message{Role: "user", Content: user}, chat.Message{Role: "assistant", Content: answer})
		case map[string]any:
			m, err := message(p)
			if err != "" {
				return nil, fmt.Sprintf("message %d: %s", i+1, err)
			}
			out = append(out, m)
		default:
			return nil, "a list of pairs is expected, here is " + typeName(v)
		}
	}
	return out, ""
}

// turnMark finds the beginning of a turn in running text: "### Human:" and its
// kin, and hh-rlhf's "\n\nHuman:".
var turnMark = regexp.MustCompile(`###[ \t]*(Human|Assistant|System|User|Instruction|Input|Response)[ \t]*:[ \t]*\n?|(?:^|\n\n)(Human|Assistant)[ \t]*:[ \t]?`)

// hasTurns says whether text is written in turns.
func hasTurns(s string) bool {
	return (strings.Contains(s, "###") || strings.Contains(s, "\n\nHuman:") || strings.HasPrefix(s, "Human:")) &&
		turnMark.MatchString(s)
}

// parseTurns splits text in turns into messages. Text before the first mark is a
// system message. An Alpaca "### Input:" belongs to the user's turn. A last
// assistant turn without text asks for an answer and is no message.
func parseTurns(s string) []chat.Message {
	marks := turnMark.FindAllStringSubmatchIndex(s, -1)
	if len(marks) == 0 {
		return nil
	}
	hashes := strings.Contains(s[marks[0][0]:marks[0][1]], "###")
	var out []chat.Message
	if lead := strings.TrimSpace(s[:marks[0][0]]); lead != "" {
		out = append(out, chat.Message{Role: "system", Content: lead})
	}
	for i, m := range marks {
		if strings.Contains(s[m[0]:m[1]], "###") != hashes {
			continue // a mark of the other style inside a turn is text
		}
		end := len(s)
		for _, n := range marks[i+1:] {
			if strings.Contains(s[n[0]:n[1]], "###") == hashes {
				end = n[0]
				break
			}
		}
		role := ""
		if m[2] >= 0 {
			role = s[m[2]:m[3]]
		} else {
			role = s[m[4]:m[5]]
		}
		text := strings.TrimSpace(s[m[1]:end])
		if role == "Input" && len(out) > 0 && out[len(out)-1].Role == "user" {
			if text != "" {
				out[len(out)-1].Content += "\n\n" + text
			}
			continue
		}
		mapped := roleNames[strings.ToLower(role)]
		if mapped == "" {
			mapped = "user"
		}
		if text == "" && mapped == "assistant" && end == len(s) {
			continue
		}
		out = append(out, chat.Message{Role: mapped, Content: text})
	}
	return out
}

func makeTurns(in *input) ([]Record, *RowError) {
	text := in.text("text")
	msgs := parseTurns(text)
	if len(msgs) == 0 && in.err == nil {
		in.fail("text", "no turns (### Human: or Human:) in the text")
	}
	return []Record{{Messages: msgs}}, in.err
}

func makeTurnsOutput(in *input) ([]Record, *RowError) {
	msgs := parseTurns(in.text("input"))
	if len(msgs) == 0 && in.err == nil {
		in.fail("input", "no turns (### Human: or Human:) in the text")
	}
	answer := in.text("output")
	if n := len(msgs); n > 0 && msgs[n-1].Role == "assistant" {
		in.fail("input", "ends with an assistant turn, and the answer is in another column")
	}
	return []Record{{Messages: append(msgs, chat.Message{Role: "assistant", Content: strings.TrimSpace(answer)})}}, in.err
}
