package world

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
)

// The rows of the data sets. The tags name the columns of the parquet files.
type (
	// ReviewRow asks for the sentiment of a film review. Completions begin with the
	// space that belongs between prompt and completion when the two are joined.
	ReviewRow struct {
		Prompt     string `parquet:"prompt,zstd"`     // the question with the review
		Completion string `parquet:"completion,zstd"` // " positive" or " negative"
		Review     string `parquet:"review,zstd"`     // the review alone
	}

	// Message is one turn of a [ChatRow].
	Message struct {
		Role    string `parquet:"role,zstd"` // "system", "user" or "assistant"
		Content string `parquet:"content,zstd"`
	}

	// ChatRow is a conversation of one to three questions.
	ChatRow struct {
		Messages []Message `parquet:"messages,list"`
	}

	// PreferenceRow has two answers with the same facts: a polite and a curt one.
	PreferenceRow struct {
		Prompt   string `parquet:"prompt,zstd"`
		Chosen   string `parquet:"chosen,zstd"`   // polite
		Rejected string `parquet:"rejected,zstd"` // curt
	}

	// MathRow is a word problem with its right solution.
	MathRow struct {
		Question  string `parquet:"question,zstd"`
		Rationale string `parquet:"rationale,zstd"` // "17 + 6 = 23. 23 - 11 = 12."
		Answer    string `parquet:"answer,zstd"`    // "12"
	}

	// MarkedStep is a step of a pupil's solution.
	MarkedStep struct {
		Step   string  `parquet:"step,zstd"`
		Reward float64 `parquet:"reward"` // 1: right, and so is all before it; 0: wrong, or built on something wrong
	}

	// StepsRow is a word problem as a pupil solved it, with marks. The last step
	// is the answer.
	StepsRow struct {
		Problem     string       `parquet:"problem,zstd"`
		Steps       []MarkedStep `parquet:"steps,list"`
		FinalAnswer string       `parquet:"final_answer,zstd"` // the pupil's
	}

	// CodeRow is a programming task, a right answer, and tests.
	CodeRow struct {
		Problem   string `parquet:"problem,zstd"`
		Reasoning string `parquet:"reasoning,zstd"`
		Code      string `parquet:"code,zstd"` // one Go function f
		Tests     []Test `parquet:"tests,list"`
	}
)

// Counts is how many rows of each data set are made.
var Counts = struct {
	Reviews, Chat, Preferences, Math, Steps, Code Count
}{
	Reviews: Count{4000, 500}, Chat: Count{3000, 300}, Preferences: Count{3000, 400},
	Math: Count{4000, 500}, Steps: Count{4000, 500}, Code: Count{2000, 250},
}

// Count is the number of rows of the two parts of a data set.
type Count struct{ Train, Validation int }

// Split is a data set in its two parts.
type Split[T any] struct{ Train, Validation []T }

// Alike is the similarity from which on two rows count as nearly the same here; see
// [Similarity]. No training row is that near to a validation row.
// It is well below what ft data check warns of, which estimates.
const Alike = 0.55

// Reserved says whether a review, problem or task is kept for validation. Its hash
// decides, for one text in eight, so that it is the same in every data set and in
// the pretraining documents.
func Reserved(text string) bool {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()%8 == 0
}

// split draws rows until both parts are full. The i-th row of a part is asked
// for with its number, so that a maker can keep a balance. What a row asks decides
// which part it may be in; a row that was there before is refused, and so is a
// training row that is near to a validation row.
func split[T any](s *source, c Count, make func(s *source, i int) T, ask, near func(T) string) Split[T] {
	validation, seen := newCatalogue(), map[string]bool{}
	draw := func(n int, reserved bool) []T {
		var out []T
		for len(out) < n {
			r := make(s, len(out))
			all := fmt.Sprintf("%#v", r)
			if Reserved(ask(r)) != reserved || seen[all] || !reserved && validation.nearest(near(r)) >= Alike {
				continue
			}
			seen[all] = true
			if reserved {
				validation.add(near(r))
			}
			out = append(out, r)
		}
		shuffle(s, out)
		return out
	}
	var out Split[T]
	out.Validation = draw(c.Validation, true)
	out.Train = draw(c.Train, false)
	return out
}

// SentimentQuestion is how a review is asked about.
const SentimentQuestion = "Is this review positive or negative? "

// Reviews is the data set of film reviews; as many are positive as negative.
func (w *World) Reviews() Split[ReviewRow] {
	return split(newSource(w.Seed, "reviews"), Counts.Reviews, func(s *source, i int) ReviewRow {
		r := review(s, i%2 == 0)
		return ReviewRow{SentimentQuestion + r.Text, " " + r.Sentiment(), r.Text}
	}, func(r ReviewRow) string { return r.Review }, func(r ReviewRow) string { return r.Review })
}

var manners = []struct {
	system string
	answer func(*source, string) string
}{
	{"", func(_ *source, a string) string { return a }},
	{"", func(_ *source, a string) string { return a }},
	{"You are a polite helper.", polite},
	{"You are in a bad mood.", curt},
}

// Chat is the data set of conversations. A system message, where there is one,
// sets the tone of the answers.
func (w *World) Chat() Split[ChatRow] {
	return split(newSource(w.Seed, "chat"), Counts.Chat, func(s *source, i int) ChatRow {
		return ChatRow{w.conversation(s, 1+i%3)}
	}, ChatRow.asked, ChatRow.asked)
}

// asked is the conversation up to the last answer.
func (r ChatRow) asked() string {
	var out []string
	for _, m := range r.Messages[:len(r.Messages)-1] {
		out = append(out, m.Content)
	}
	return strings.Join(out, "\n")
}

func (w *World) conversation(s *source, turns int) []Message {
	manner := pick(s, manners)
	var out []Message
	if manner.system != "" {
		out = append(out, Message{"system", manner.system})
	}
	say := func(q, a string) { out = append(out, Message{"user", q}, Message{"assistant", a}) }
	if turns > 1 && s.chance(0.2) {
		p := pick(s, w.People)
		say(pick(s, []string{"Hello!", "Good morning!", "Hi there!"})+" I have questions about "+p.Name+".", "Hello! What do you want to know about "+p.Name+"?")
		turns--
	}
	// After a question about a person the next one may say "he" or "she" for the name.
	recipes := 0.2
	for turns > 0 {
		turns--
		switch s.share([]float64{0.35, recipes, 0.1, 0.35}) {
		case 0:
			e := w.exchange(s)
			say(preface(s)+e.Question, manner.answer(s, e.Answer))
		case 1:
			recipes = 0 // two would be longer than ft-tiny can read
			f := pick(s, w.Foods)
			say(pick(s, []string{"Give me a recipe for %s.", "Tell me how to make %s.", "Do you know a recipe for %s?"}), w.recipe(s, f))
			last := &out[len(out)-2]
			last.Content = fmt.Sprintf(last.Content, f.Name)
		case 2:
			p := pick(s, w.People)
			a := sample(s, []attribute{town, job, pet, food, colour}, 3)
			say("Tell me about "+p.Name+".", manner.answer(s, p.say(a[0])+" "+p.pronoun()+strings.TrimPrefix(p.say(a[1]), p.Name)+" "+p.pronoun()+strings.TrimPrefix(p.say(a[2]), p.Name)))
		default:
			p := pick(s, w.People)
			a := sample(s, []attribute{town, job, pet, food, colour}, 2)
			say(preface(s)+p.exchange(a[0], s).Question, manner.answer(s, p.say(a[0])))
			if turns > 0 {
				turns--
				follow := Person{Name: strings.ToLower(p.pronoun())}.exchange(a[1], s).Question
				follow = strings.NewReplacer(" of he?", " of him?", " of she?", " of her?", "house of he ", "house of him ", "house of she ", "house of her ").Replace(follow)
				say("And "+strings.ToLower(follow[:1])+follow[1:], manner.answer(s, p.pronoun()+strings.TrimPrefix(p.say(a[1]), p.Name)))
			}
		}
	}
	return out
}

// preface is what one may say before a question.
func preface(s *source) string {
	return pick(s, []string{"", "", "I have a question. ", "Excuse me. ", "Please tell me. ", "Can you help me? "})
}

// Preferences is the data set of polite and curt answers to the same questions.
func (w *World) Preferences() Split[PreferenceRow] {
	return split(newSource(w.Seed, "preferences"), Counts.Preferences, func(s *source, _ int) PreferenceRow {
		e := w.exchange(s)
		return PreferenceRow{e.Question, " " + polite(s, e.Answer), " " + curt(s, e.Answer)}
	}, PreferenceRow.matter, PreferenceRow.matter)
}

var digits = regexp.MustCompile(`\d+`)

// matter is what the question is about. For a sum that is its two numbers: 5 + 12, 12
// - 5 and "how much is" for "what is" all count as one question.
func (r PreferenceRow) matter() string {
	numbers := digits.FindAllString(r.Prompt, -1)
	if len(numbers) == 0 {
		return r.Prompt
	}
	slices.Sort(numbers)
	return strings.Join(numbers, " ")
}

// lengths is the number of steps of the i-th problem: half have two, a quarter one
// and a quarter three.
func lengths(i int) int { return [4]int{2, 1, 2, 3}[i%4] }

// Math is the data set of word problems with right solutions.
func (w *World) Math() Split[MathRow] {
	return split(newSource(w.Seed, "math"), Counts.Math, func(s *source, i int) MathRow {
		p := problem(s, lengths(i))
		return MathRow{p.Text, p.Solution().Rationale(), fmt.Sprint(p.Answer)}
	}, func(r MathRow) string { return r.Question }, func(r MathRow) string { return r.Question })
}

// Steps is the data set of pupils' solutions with a mark for every step.
func (w *World) Steps() Split[StepsRow] {
	return split(newSource(w.Seed, "steps"), Counts.Steps, func(s *source, i int) StepsRow {
		p := problem(s, lengths(i))
		sol := Marked.draw(s).solve(s, p)
		r := StepsRow{Problem: p.Text, FinalAnswer: fmt.Sprint(sol.Answer)}
		for k, right := range p.Marks(sol) {
			m := MarkedStep{Step: fmt.Sprintf("Answer: %d", sol.Answer)}
			if k < len(sol.Steps) {
				m.Step = sol.Steps[k].String()
			}
			if right {
				m.Reward = 1
			}
			r.Steps = append(r.Steps, m)
		}
		return r
	}, func(r StepsRow) string { return r.Problem }, func(r StepsRow) string { return r.Problem })
}

// Code is the data set of small Go functions.
func (w *World) Code() Split[CodeRow] {
	return split(newSource(w.Seed, "code"), Counts.Code, func(s *source, _ int) CodeRow {
		p := program(s)
		return CodeRow(p)
	}, func(r CodeRow) string { return r.Problem }, func(r CodeRow) string { return r.Problem + "\n" + r.Code })
}

// Similarity of two texts is the share of their runs of three words that both
// have: 1 for equal texts, 0 for texts without a common phrase.
func Similarity(a, b string) float64 {
	c := newCatalogue()
	c.add(a)
	return c.nearest(b)
}
