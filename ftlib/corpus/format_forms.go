package corpus

import (
	"slices"
	"strings"
	"sync"
)

// Form is one way in which data sets write a kind of row.
type Form struct {
	Name   string   `json:"name"`
	Kind   Kind     `json:"kind"`
	Doc    string   `json:"doc"`
	Fields []string `json:"fields"` // optional ones end in "?"
}

// form is a Form with how its columns are found and its records made. Earlier
// forms in the table say more about a row and are preferred when both fit.
type form struct {
	name   string
	kind   Kind
	doc    string
	fields []field
	make   func(*input) ([]Record, *RowError)
}

// field is one value that a form needs, with the column names under which data
// sets keep it, best first. A dot reaches into nested values.
type field struct {
	name     string
	optional bool
	names    []string
	accept   func(*shapeOf) bool // nil: any column of that name
}

// Forms lists what is recognised, in order of preference.
func Forms() []Form {
	var out []Form
	for _, f := range formTable() {
		form := Form{Name: f.name, Kind: f.kind, Doc: f.doc}
		for _, fd := range f.fields {
			name := fd.name
			if fd.optional {
				name += "?"
			}
			form.Fields = append(form.Fields, name)
		}
		out = append(out, form)
	}
	return out
}

// names splits a list of column names.
func names(s string) []string { return strings.Fields(s) }

const (
	problemNames = "problem question query prompt instruction text"
	answerNames  = "final_answer answer expected_answer ground_truth_answer target gold_answer"
	messageNames = "messages conversations conversation dialog dialogue chat turns items"
	systemNames  = "system system_prompt system_message"
	textNames    = "text content story document body article sentence passage markdown raw_content column_1"
	labelNames   = "label sentiment class category rating coarse_label"
)

func forms() []form {
	need := func(name, cols string, accept func(*shapeOf) bool) field {
		return field{name, false, names(cols), accept}
	}
	may := func(name, cols string, accept func(*shapeOf) bool) field {
		return field{name, true, names(cols), accept}
	}
	return []form{
		{"prm800k", KindSteps, "PRM800K: every step with its rated completions",
			[]field{need("problem", "question.problem", isText), need("steps", "label.steps", isList), may("answer", "question.ground_truth_answer", nil)}, makePRM800K},
		{"math-shepherd", KindSteps, "Math-Shepherd: steps end in a tag in input and in + or - in label",
			[]field{need("input", "input", func(s *shapeOf) bool { return s.tags > 0 }), need("label", "label", isText)}, makeShepherd},
		{"math-aps", KindSteps, "MATH-APS: solution prefixes, or a tree of steps, with a Monte Carlo value",
			[]field{need("problem", "question problem", isText), need("steps", "reasoning_steps", isPrefixes), may("answer", answerNames, nil)}, makeAPS},
		{"stepwise", KindSteps, "prompt, a list of completions and a list of labels",
			[]field{need("prompt", "prompt problem question", isText), need("completions", "completions steps", isTextList), need("labels", "labels rewards", isScalarList), may("answer", answerNames, nil)}, makeStepwise},
		{"steps", KindSteps, "problem and a list of steps, each with a reward",
			[]field{need("problem", problemNames, isText), need("steps", "steps solution_steps reasoning_steps", isStepList), may("answer", answerNames, nil)}, makeSteps},

		{"ranking", KindRanking, "prompt and responses with a rank (1 is best) or a score",
			[]field{need("prompt", "prompt question instruction query", nil), need("responses", "responses answers candidates completions", isResponses)}, makeRanking},
		{"preference", KindPreference, "prompt with a chosen and a rejected answer",
			[]field{need("prompt", "prompt question instruction query conversations messages input", isContent),
				need("chosen", "chosen response_j chosen_response preferred", isContent), need("rejected", "rejected response_k rejected_response dispreferred", isContent),
				may("input", "input context", isText), may("system", systemNames, isText), may("margin", "margin", isNumeric),
				may("chosen_score", "score_chosen chosen_score chosen_rating", isNumeric), may("rejected_score", "score_rejected rejected_score rejected_rating", isNumeric)}, makePreference},
		{"hh-rlhf", KindPreference, "chosen and rejected dialogues that begin with the same prompt",
			[]field{need("chosen", "chosen", isContent), need("rejected", "rejected", isContent), may("margin", "margin", isNumeric)}, makeImplicit},
		{"unpaired", KindUnpaired, "prompt and completion with a label: good or not",
			[]field{need("prompt", "prompt question instruction", isContent), need("completion", "completion response output answer", isContent), need("label", "label kto_tag is_good", isTruth)}, makeUnpaired},
		{"unpaired-chat", KindUnpaired, "a conversation whose last turn has a label: good or not",
			[]field{need("messages", messageNames, isMessages), need("label", "label kto_tag is_good", isTruth)}, makeUnpairedChat},

		{"humaneval", KindCode, "HumanEval: prompt, canonical_solution, test and entry_point",
			[]field{need("prompt", "prompt", isText), need("code", "canonical_solution", isText), need("test", "test", isText), need("entry_point", "entry_point", isText)}, makeHumanEval},
		{"code", KindCode, "problem, reasoning, code, tests and a reward",
			[]field{need("problem", problemNames+" description", isText), need("code", "code solution_code python_code program", isText),
				may("reasoning", "reasoning rationale explanation thought", isText), may("tests", "test_results tests test_list test_cases unit_tests test", nil), may("reward", "reward score pass_rate", isNumeric)}, makeCode},

		{"verl", KindReasoning, "verl: prompt messages, ground truth under reward_model",
			[]field{need("problem", "prompt", isMessages), may("reasoning", "reward_model.ground_truth.solution extra_info.answer", isText),
				need("answer", "reward_model.ground_truth.target reward_model.ground_truth.answer reward_model.ground_truth", isScalar)}, makeVerl},
		{"reasoning", KindReasoning, "problem, reasoning and answer, perhaps with is_correct",
			[]field{need("problem", problemNames, isText), need("reasoning", "reasoning rationale solution explanation chain_of_thought cot generated_solution thought", isText),
				need("answer", answerNames, isScalar), may("correct", "is_correct correct is_right label", isTruth)}, makeReasoning},
		{"gsm8k", KindReasoning, "GSM8K: question, and an answer that ends in #### and the result",
			[]field{need("problem", "question problem prompt", isText), need("answer", "answer solution response output completion", func(s *shapeOf) bool { return s.hashes > 0 })}, makeGSM8K},
		{"math", KindReasoning, "MATH: problem, and a solution with the result in \\boxed{}",
			[]field{need("problem", "problem question prompt", isText), need("solution", "solution answer response output completion", func(s *shapeOf) bool { return s.boxed > 0 })}, makeMATH},

		{"messages", KindChat, "messages with role and content",
			[]field{need("messages", messageNames, hasKeys("role", "content")), may("system", systemNames, isText)}, makeChat},
		{"sharegpt", KindChat, "ShareGPT: conversations with from and value",
			[]field{need("messages", messageNames, isSpoken), may("system", systemNames, isText)}, makeChat},
		{"turns+output", KindChat, "a dialogue in turns (### Human: ...) and the answer to it in a column of its own",
			[]field{need("input", "input prompt context history", isTurns), need("output", "output completion response answer generation", isText)}, makeTurnsOutput},
		{"turns", KindChat, "text in turns: ### Human: ... ### Assistant: ...",
			[]field{need("text", "text content conversation dialog dialogue chat column_1", isTurns)}, makeTurns},
		{"prompt-completion", KindCompletion, "prompt and completion, text or messages",
			[]field{need("prompt", "prompt", isContent), need("completion", "completion", isContent), may("system", systemNames, isText)}, makeCompletion},
		{"classification", KindCompletion, "a text and its class",
			[]field{need("text", "sentence text review comment tweet headline column_1 column_2", isProse), need("label", labelNames+" column_2 column_1", isClass)}, makeClass},
		{"instruction", KindChat, "instruction, perhaps with input, system and history, and output",
			[]field{need("instruction", "instruction question query prompt problem user human input inputs column_1", isText), may("input", "input context", isText),
				need("output", "output response answer completion target targets assistant reply answers solution generation column_2", isAnswer), may("system", systemNames, isText), may("history", "history", isList)}, makeInstruction},
		{"text", KindText, "plain text",
			[]field{need("text", textNames, isText)}, makeText},
		{"prompt", KindPrompt, "prompts without an answer",
			[]field{need("prompt", "prompt instruction question problem query", isContent), may("system", systemNames, isText)}, makePrompt},
	}
}

// formTable is forms(), made once.
var formTable = sync.OnceValue(forms)

func formNamed(name string) *form {
	for i, f := range formTable() {
		if f.name == name {
			return &formTable()[i]
		}
	}
	return nil
}

func formList() []string {
	var out []string
	for _, f := range formTable() {
		out = append(out, f.name)
	}
	return out
}

// formAliases are other names by which people know a form or kind.
var formAliases = map[string]string{
	"alpaca": "instruction", "dolly": "instruction", "conversational": "messages", "openai": "messages", "chatml": "messages",
	"guanaco": "turns", "dpo": "preference", "kto": "unpaired", "prm": "steps", "sentiment": "classification",
	"language-modeling": "text", "completion": "prompt-completion", "prompt-only": "prompt", "stepwise-supervised": "stepwise",
}

// wantedForms are the forms that a user's word means: a form, a kind or an alias.
func wantedForms(word string) []form {
	word = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(word), "_", "-"))
	if a, ok := formAliases[word]; ok {
		word = a
	}
	var out []form
	for _, f := range formTable() {
		if f.name == word {
			return []form{f}
		}
		if string(f.kind) == word {
			out = append(out, f)
		}
	}
	return out
}

// knownColumn says whether a name is one that some form looks for.
func knownColumn(name string) bool {
	for _, f := range formTable() {
		for _, fd := range f.fields {
			if slices.Contains(fd.names, name) {
				return true
			}
		}
	}
	return false
}
