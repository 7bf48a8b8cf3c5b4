package corpus

import (
	"fmt"
	"strings"
	"testing"
)

// brief is a record on one line, for comparing.
func brief(r Record) string {
	var b strings.Builder
	part := func(name, s string) {
		if s != "" {
			fmt.Fprintf(&b, "%s=%q ", name, s)
		}
	}
	part("text", r.Text)
	for _, m := range r.Messages {
		part(m.Role, m.Content)
	}
	part("prompt", r.Prompt.Plain())
	part("completion", r.Completion.Plain())
	part("chosen", r.Chosen.Plain())
	part("rejected", r.Rejected.Plain())
	if r.Margin != nil {
		fmt.Fprintf(&b, "margin=%g ", *r.Margin)
	}
	if r.Label != nil {
		fmt.Fprintf(&b, "label=%v ", *r.Label)
	}
	for _, p := range r.Responses {
		fmt.Fprintf(&b, "%g:%q ", p.Rank, p.Text)
	}
	part("problem", r.Problem)
	part("rationale", r.Rationale)
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "%q:%.2g ", s.Text, s.Reward)
	}
	part("code", r.Code)
	if r.Tests != nil {
		fmt.Fprintf(&b, "tests=%v ", r.Tests)
	}
	part("answer", r.Answer)
	if r.Correct != nil {
		fmt.Fprintf(&b, "correct=%v ", *r.Correct)
	}
	if r.Reward != nil {
		fmt.Fprintf(&b, "reward=%g ", *r.Reward)
	}
	return strings.TrimSpace(b.String())
}

// formCases has a small data set for every form, with what its last row becomes.
var formCases = []struct{ form, name, data, want string }{
	{"text", "a.txt", "one doc\n\ntwo docs", `text="two docs"`},
	{"text", "a.jsonl", `{"text":"a story","id":7}`, `text="a story"`},
	{"prompt-completion", "a.jsonl", `{"prompt":"2+2=","completion":"4"}`, `prompt="2+2=" completion="4"`},
	{"prompt-completion", "a.jsonl", `{"prompt":[{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"yo"}]}`, `prompt="user: hi" completion="assistant: yo"`},
	{"prompt", "a.jsonl", `{"prompt":"Tell me"}`, `prompt="Tell me"`},
	{"instruction", "a.json", `[{"instruction":"Add","input":"1 2","output":"3","system":"Be brief.","history":[["q","a"]]}]`, `system="Be brief." user="q" assistant="a" user="Add\n\n1 2" assistant="3"`},
	{"instruction", "a.csv", "question,answer\nWho?,Me\n", `user="Who?" assistant="Me"`},
	{"instruction", "a.jsonl", `{"input":"2 + 3","output":5}`, `user="2 + 3" assistant="5"`},
	{"messages", "a.jsonl", `{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"},{"role":"assistant","content":"A"}]}`, `system="S" user="U" assistant="A"`},
	{"messages", "a.jsonl", `{"messages":[{"role":"user","content":[{"type":"text","text":"U"}]},{"role":"assistant","content":null,"tool_calls":[{"id":1}]}]}`, `user="U"`},
	{"sharegpt", "a.json", `[{"conversations":[{"from":"human","value":"U"},{"from":"gpt","value":"A"}],"system":"S"}]`, `system="S" user="U" assistant="A"`},
	{"turns", "a.jsonl", `{"text":"### Human: hi\nthere ### Assistant: yo### Human: bye### Assistant: so long"}`, `user="hi\nthere" assistant="yo" user="bye" assistant="so long"`},
	{"turns", "a.jsonl", `{"text":"Below is a task.\n\n### Instruction:\nAdd\n\n### Input:\n1 2\n\n### Response:\n3"}`, `system="Below is a task." user="Add\n\n1 2" assistant="3"`},
	{"turns+output", "a.jsonl", `{"input":"### Human: hi### Assistant: yo### Human: bye### Assistant:","output":"so long"}`, `user="hi" assistant="yo" user="bye" assistant="so long"`},
	{"classification", "a.tsv", "It is a fine film.\t1\nIt is not so good.\t0\n", `prompt="It is not so good.\nLabel:" completion=" 0"`},
	{"preference", "a.jsonl", `{"prompt":"Q","chosen":"good","rejected":"bad","margin":2}`, `prompt="Q" chosen="good" rejected="bad" margin=2`},
	{"preference", "a.jsonl", `{"prompt":"Q","chosen":"Q good","rejected":"Q bad","score_chosen":5,"score_rejected":3.5}`, `prompt="Q" chosen=" good" rejected=" bad" margin=1.5`},
	{"preference", "a.jsonl", `{"prompt":"Q","chosen":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}],"rejected":[{"role":"user","content":"Q"},{"role":"assistant","content":"B"}]}`, `prompt="user: Q" chosen="assistant: A" rejected="assistant: B"`},
	{"preference", "a.jsonl", `{"conversations":[{"from":"human","value":"Q"}],"chosen":{"from":"gpt","value":"A"},"rejected":{"from":"gpt","value":"B"}}`, `prompt="user: Q" chosen="assistant: A" rejected="assistant: B"`},
	{"preference", "a.jsonl", `{"question":"Q","response_j":"A","response_k":"B"}`, `prompt="Q" chosen="A" rejected="B"`},
	{"hh-rlhf", "a.jsonl", `{"chosen":"\n\nHuman: hi\n\nAssistant: yo\n\nHuman: why?\n\nAssistant: Because.","rejected":"\n\nHuman: hi\n\nAssistant: yo\n\nHuman: why?\n\nAssistant: Be off."}`, `prompt="user: hi\nassistant: yo\nuser: why?" chosen="assistant: Because." rejected="assistant: Be off."`},
	{"hh-rlhf", "a.jsonl", `{"chosen":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}],"rejected":[{"role":"user","content":"Q"},{"role":"assistant","content":"B"}]}`, `prompt="user: Q" chosen="assistant: A" rejected="assistant: B"`},
	{"hh-rlhf", "a.jsonl", `{"chosen":"The sky is blue.","rejected":"The sky is black."}`, `prompt="The sky is" chosen=" blue." rejected=" black."`},
	{"ranking", "a.jsonl", `{"prompt":"Q","responses":[{"text":"b","rank":2},{"text":"a","rank":1},{"text":"c","rank":3}]}`, `prompt="Q" 1:"a" 2:"b" 3:"c"`},
	{"ranking", "a.jsonl", `{"prompt":"Q","responses":[{"text":"b","score":0.2},{"text":"a","score":0.9}]}`, `prompt="Q" -0.9:"a" -0.2:"b"`},
	{"unpaired", "a.jsonl", `{"prompt":"Q","completion":"A","label":false}`, `prompt="Q" completion="A" label=false`},
	{"unpaired-chat", "a.jsonl", `{"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}],"kto_tag":true}`, `prompt="user: Q" completion="assistant: A" label=true`},
	{"gsm8k", "a.jsonl", `{"question":"Q","answer":"1+1=<<1+1=2>>2\n#### 2"}`, `problem="Q" rationale="1+1=<<1+1=2>>2" answer="2"`},
	{"math", "a.jsonl", `{"problem":"P","solution":"so \\boxed{\\frac{1}{2}}.","level":"1"}`, `problem="P" rationale="so \\boxed{\\frac{1}{2}}." answer="\\frac{1}{2}"`},
	{"reasoning", "a.jsonl", `{"question":"Q","rationale":"R","answer":42}`, `problem="Q" rationale="R" answer="42"`},
	{"reasoning", "a.jsonl", `{"problem":"Q","reasoning":"R","answer":"4","is_correct":true}`, `problem="Q" rationale="R" answer="4" correct=true`},
	{"verl", "a.jsonl", `{"prompt":[{"role":"user","content":"Q"}],"reward_model":{"style":"rule","ground_truth":"72"},"extra_info":{"answer":"R\n#### 72"}}`, `prompt="user: Q" problem="Q" rationale="R" answer="72"`},
	{"code", "a.jsonl", `{"problem":"P","reasoning":"R","code":"x=1","test_results":["ok","ok"],"reward":1.0}`, `problem="P" rationale="R" code="x=1" tests=[ok ok] reward=1`},
	{"humaneval", "a.jsonl", `{"task_id":"t","prompt":"def f():\n","canonical_solution":"  return 1\n","test":"assert f()","entry_point":"f"}`, `problem="def f():\n" code="  return 1\n" tests=map[entry_point:f test:assert f()]`},
	{"steps", "a.jsonl", `{"problem":"P","steps":[{"step":"s1","reward":1},{"step":"s2","reward":0}],"final_answer":"7"}`, `problem="P" "s1":1 "s2":0 answer="7"`},
	{"stepwise", "a.jsonl", `{"prompt":"P","completions":["s1","s2"],"labels":[true,false]}`, `problem="P" "s1":1 "s2":0`},
	{"math-shepherd", "a.jsonl", `{"input":"What? Step 1: a ки\nStep 2: b. The answer is: 5 ки","label":"What? Step 1: a +\nStep 2: b. The answer is: 5 -","task":"T"}`, `problem="What?" "Step 1: a":1 "Step 2: b. The answer is: 5":0 answer="5"`},
	{"prm800k", "a.jsonl", `{"question":{"problem":"P","ground_truth_answer":"9"},"label":{"steps":[{"completions":[{"text":"a","rating":1},{"text":"b","rating":-1}],"chosen_completion":0,"human_completion":null},{"completions":[{"text":"c","rating":-1}],"chosen_completion":null,"human_completion":{"text":"h"}},{"completions":[{"text":"d","rating":0}],"chosen_completion":0}]}}`, `problem="P" "a":1 "h":1 "d":0.5 answer="9"`},
	{"math-aps", "a.jsonl", `{"question":"P","final_answer":"3","reasoning_steps":[{"solution_prefix":"P","mc_value":0.7},{"solution_prefix":"P one","mc_value":0.5},{"solution_prefix":"P one two","mc_value":1.0},{"solution_prefix":"P bad","mc_value":0.0}]}`, `problem="P" "one":0.5 "two":1 answer="3"`},
	{"math-aps", "a.jsonl", `{"question":"P","final_answer":"3","reasoning_steps":{"text":"P","mc_value":0.5,"children":[{"text":"bad","mc_value":0.0,"children":[]},{"text":"one","mc_value":0.5,"children":[{"text":"two","mc_value":1.0,"children":[]}]}]}}`, `problem="P" "one":0.5 "two":1 answer="3"`},
}

func TestForms(t *testing.T) {
	tried := map[string]bool{}
	for i, c := range formCases {
		t.Run(fmt.Sprintf("%d_%s", i, c.form), func(t *testing.T) {
			tried[c.form] = true
			path := put(t, c.name, c.data)
			m, recs, err := Read(path, OpenOptions{}, Want{})
			if err != nil {
				t.Fatal(err)
			}
			if m.Form != c.form || m.Fits != m.Rows {
				t.Fatalf("recognised as %q, %d of %d rows fit: %+v", m.Form, m.Fits, m.Rows, m.Reasons)
			}
			var last Record
			for rec, err := range recs {
				if err != nil {
					t.Fatal(err)
				}
				last = rec
			}
			if got := brief(last); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if last.File != path || last.Num == 0 || last.Kind != m.Kind {
				t.Errorf("record says %q row %d kind %q", last.File, last.Num, last.Kind)
			}
		})
	}
	for _, f := range Forms() {
		if !tried[f.Name] {
			t.Errorf("form %s has no case", f.Name)
		}
	}
}

// TestFormErrors gives rows that do not fit; the error must name the column.
func TestFormErrors(t *testing.T) {
	for _, c := range []struct{ form, row, want string }{
		{"prompt-completion", `{"prompt":"a","completion":" "}`, `row 1, column "completion": empty`},
		{"prompt-completion", `{"prompt":"a","completion":null}`, `row 1, column "completion": missing`},
		{"messages", `{"messages":[]}`, `row 1, column "messages": an empty list`},
		{"messages", `{"messages":[{"role":"martian","content":"x"}]}`, `row 1, column "messages": message 1: unknown role "martian"`},
		{"messages", `{"messages":[{"role":"user"}]}`, `row 1, column "messages": message 1: no role and content (or from and value)`},
		{"messages", `{"messages":{"a":1}}`, `row 1, column "messages": a list is expected, here is an object`},
		{"gsm8k", `{"problem":"q","answer":"no mark"}`, `row 1, column "answer": no #### and result at its end`},
		{"math", `{"problem":"q","solution":"\\boxed{"}`, `row 1, column "solution": no \boxed{} result in it`},
		{"preference", `{"prompt":"q","chosen":"x","rejected":"x"}`, `row 1, column "rejected": the same as chosen`},
		{"hh-rlhf", `{"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: c\n\nAssistant: d"}`, `row 1, column "rejected": shares no turn with chosen`},
		{"ranking", `{"prompt":"q","responses":[{"text":"x","rank":1}]}`, `row 1, column "responses": a single response cannot be ranked`},
		{"unpaired", `{"prompt":"q","completion":"c","label":7}`, `row 1, column "label": true or false (or 1 and 0) is expected, here is a number`},
		{"stepwise", `{"prompt":"q","completions":["a","b"],"labels":[1]}`, `row 1, column "labels": 1 labels for 2 completions`},
		{"steps", `{"problem":"q","steps":[{"step":"a"}]}`, `row 1, column "steps": step 1 has no reward`},
		{"math-shepherd", `{"input":"Q Step 1: a ки","label":"Q Step 1: b +"}`, `row 1, column "label": differs from input at step 1`},
	} {
		path := put(t, "a.jsonl", c.row)
		m := Mapping{Form: c.form, Columns: map[string]string{}}
		for _, f := range formNamed(c.form).fields { // each field in the column of its own name
			m.Columns[f.name] = f.name
		}
		for row := range Open(path, OpenOptions{}) {
			_, err := Format(row, m)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: got %v\nwant %s", c.form, err, c.want)
			}
		}
	}
}

func TestMappingOptions(t *testing.T) {
	gsm := put(t, "a.jsonl", `{"question":"Q","answer":"1+1=<<1+1=2>>2\n#### 2"}`)
	film := put(t, "f.csv", "text,label\nI like it,1\nI do not,0\n")
	odd := put(t, "o.jsonl", `{"foo":"Q","bar":{"baz":"A"}}`)
	for _, c := range []struct {
		path string
		want Want
		rec  string
	}{
		{gsm, Want{Columns: map[string]string{"calculator": "strip"}}, `problem="Q" rationale="1+1=2" answer="2"`},
		{gsm, Want{Format: "chat"}, `user="Q" assistant="1+1=<<1+1=2>>2\n#### 2"`},
		{gsm, Want{Format: "alpaca"}, `user="Q" assistant="1+1=<<1+1=2>>2\n#### 2"`},
		{film, Want{Columns: map[string]string{"label.1": "good", "label.0": "bad", "template": `{text}\nSo:`}}, `prompt="I like it\nSo:" completion=" good"`},
		{odd, Want{Format: "prompt-completion", Columns: map[string]string{"prompt": "foo", "completion": "bar.baz"}}, `prompt="Q" completion="A"`},
	} {
		_, recs, err := Read(c.path, OpenOptions{}, c.want)
		if err != nil {
			t.Errorf("%+v: %v", c.want, err)
			continue
		}
		for rec, err := range recs {
			if got := brief(rec); err != nil || got != c.rec {
				t.Errorf("%+v: got %s, %v\nwant %s", c.want, got, err, c.rec)
			}
			break
		}
	}
	for _, c := range []struct {
		want Want
		err  string
	}{
		{Want{}, "no known format has the columns foo, bar"},
		{Want{Format: "nonsense"}, `unknown format "nonsense"`},
		{Want{Format: "preference"}, "preference needs prompt, chosen, rejected"},
		{Want{Columns: map[string]string{"prompt": "nope"}}, `column "nope": no such column`},
		{Want{Format: "prompt-completion", Columns: map[string]string{"question": "foo"}}, `no field is called "question"; prompt-completion has prompt, completion`},
		{Want{Columns: map[string]string{"template": "x"}}, "has no {text}"},
	} {
		if _, err := Recognise(Open(odd, OpenOptions{}), c.want); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: got %v, want %s", c.want, err, c.err)
		}
	}
}

func TestBoxed(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`\boxed{3}`, "3"}, {`\boxed{a}, then \boxed{\frac{1}{2}}`, `\frac{1}{2}`}, {`\boxed 7$`, "7"}, {`\fbox{x}`, "x"}, {`\boxed{`, ""}, {`none`, ""}, {`\boxed{{}}`, "{}"},
	} {
		if got, ok := Boxed(c.in); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: got %q %v", c.in, got, ok)
		}
	}
}
