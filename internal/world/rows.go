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
	Math: Count{4000, 500}, Steps: Count{20000, 500}, Code: Count{2000, 250},
}

// Count is the number of rows of the two parts of a data set.
type Count struct{ Train, Validation int }

// Split is a data set in its two parts.
type Split[T any] struct{ Train, Validation []T }

// Alike is the share of common phrases (runs of three words) from which on two rows that
// are about the same count as nearly the same. No training row is that near to a validation row.
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

func (r ReviewRow) ask() string { return r.Review }
func (r MathRow) ask() string   { return r.Question }
func (r StepsRow) ask() string  { return r.Problem }
func (r CodeRow) ask() string   { return r.Problem }

// by reserves rows by their text.
func by[T any](ask func(T) string) func(T) bool { return func(r T) bool { return Reserved(ask(r)) } }

// split draws rows until both parts are full. The i-th row of a part is asked
// for with its number, so that a maker can keep a balance. held says of a row, by
// what it asks, whether it is for validation; a training row is refused when it asks nearly what a
// validation row asks. No row is there twice; where repeat is set, two rows may ask the
// same and answer differently.
func split[T any](s *source, c Count, repeat bool, make func(s *source, i int) T, ask func(T) string, held func(T) bool) Split[T] {
	validation, seen := newCatalogue(), map[string]bool{}
	draw := func(n int, reserved bool) []T {
		var out []T
		for len(out) < n {
			r := make(s, len(out))
			q := ask(r)
			key := q
			if repeat {
				key = fmt.Sprintf("%#v", r)
			}
			if held(r) != reserved || seen[key] || !reserved && validation.nearest(q) >= Alike {
				continue
			}
			seen[key] = true
			if reserved {
				validation.add(q)
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
	return split(newRows(w.Seed, "reviews"), Counts.Reviews, false, func(s *source, i int) ReviewRow {
		r := review(s, i%2 == 0)
		return ReviewRow{SentimentQuestion + r.Text, " " + r.Sentiment(), r.Text}
	}, ReviewRow.ask, by(ReviewRow.ask))
}

var manners = []struct {
	system string
	answer func(*source, string) string
}{
	{"", func(_ *source, a string) string { return a }},
	{"", func(_ *source, a string) string { return a }},
	{"Be polite.", polite},
	{"Be curt.", curt},
}

// Chat is the data set of conversations. A system message, where there is one,
// sets the tone of the answers.
func (w *World) Chat() Split[ChatRow] {
	return split(newRows(w.Seed, "chat"), Counts.Chat, true, func(s *source, i int) ChatRow {
		return ChatRow{w.conversation(s, 1+i%3)}
	}, ChatRow.matter, by(ChatRow.matter))
}

// matter is what the user wants to know in a conversation, without what is only
// manner: the system message, greetings, "please".
func (r ChatRow) matter() string {
	var out []string
	for _, m := range r.Messages {
		if m.Role != "user" || strings.Contains(m.Content, " I have questions about ") {
			continue
		}
		text := m.Content
		for _, p := range prefaces {
			if p != "" {
				text = strings.TrimPrefix(text, p)
			}
		}
		out = append(out, text)
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
	about, recipes := pick(s, w.People), 0.2
	person := 0.35 // the chance that the next question is about a person
	if turns > 1 && s.chance(0.2) {
		say(pick(s, []string{"Hello!", "Good morning!", "Hi there!"})+" I have questions about "+about.Name+".", "Hello! What do you want to know about "+about.Name+"?")
		turns--
		person = 1e9
	}
	for turns > 0 {
		turns--
		switch s.share([]float64{0.35, recipes, 0.1, person}) {
		case 0:
			e := w.exchange(s)
			say(preface(s)+e.Question, manner.answer(s, e.Answer))
		case 1:
			recipes = 0 // two would be longer than ft-tiny can read
			f := pick(s, w.Foods)
			say(fmt.Sprintf(pick(s, []string{"Give me a recipe for %s.", "Tell me how to make %s.", "Do you know a recipe for %s?"}), f.Name), w.recipe(s, f))
		case 2:
			a := sample(s, []attribute{town, job, pet, food, colour}, 3)
			say("Tell me about "+about.Name+".", manner.answer(s, about.say(a[0])+" "+about.again(a[1])+" "+about.again(a[2])))
		default:
			a := sample(s, []attribute{town, job, pet, food, colour}, 2)
			say(preface(s)+about.exchange(a[0], s).Question, manner.answer(s, about.say(a[0])))
			if turns > 0 { // the next question may say "he" or "she" for the name
				turns--
				q := Person{Name: strings.ToLower(about.pronoun())}.exchange(a[1], s).Question
				say("And "+strings.ToLower(q[:1])+q[1:], manner.answer(s, about.again(a[1])))
			}
		}
		about, person = pick(s, w.People), 0.35
	}
	return out
}

// prefaces are what one may say before a question.
var prefaces = []string{"", "", "", "Excuse me. ", "Please tell me. "}

func preface(s *source) string { return pick(s, prefaces) }

// Preferences is the data set of polite and curt answers to the same questions.
func (w *World) Preferences() Split[PreferenceRow] {
	return split(newRows(w.Seed, "preferences"), Counts.Preferences, true, func(s *source, _ int) PreferenceRow {
		e := w.exchange(s)
		return PreferenceRow{e.Question, " " + polite(s, e.Answer), " " + curt(s, e.Answer)}
	}, PreferenceRow.matter, PreferenceRow.held)
}

var digits = regexp.MustCompile(`\d+`)

// matter is what the question is about, in whatever words it is asked: the two numbers
// of a sum (5 + 12 and 12 - 5 count as one), or a person or dish and what is asked of it.
func (r PreferenceRow) matter() string {
	if numbers := digits.FindAllString(r.Prompt, -1); len(numbers) > 0 {
		slices.Sort(numbers)
		return strings.Join(numbers, " ")
	}
	about, kind := r.subject()
	return fmt.Sprintf("%s %d", about, kind)
}

// held keeps one matter in eight for validation. Sums are many, and their hash
// decides; facts are few, and are dealt out so that each kind of question is kept.
func (r PreferenceRow) held() bool {
	about, kind := r.subject()
	for i, name := range names {
		if name == about {
			return (i+3*kind)%8 == 0
		}
	}
	for i, dish := range dishes {
		if dish == about {
			return (i+4*kind)%8 == 0
		}
	}
	return Reserved(r.matter())
}

// subject finds the person or dish that a question is about and which thing is asked;
// "" for a sum.
func (r PreferenceRow) subject() (about string, kind int) {
	asks := func(name string, kinds ...[]string) bool {
		for k, list := range kinds {
			for _, q := range list {
				if r.Prompt == fmt.Sprintf(q, name) {
					about, kind = name, k
					return true
				}
			}
		}
		return false
	}
	for _, name := range names {
		if asks(name, askingsApart[:]...) {
			return about, kind
		}
	}
	for _, f := range dishes {
		if asks(f, needing, lasting) {
			return about, kind
		}
	}
	return "", 0
}

// lengths is the number of steps of the i-th problem: half have two, a quarter one
// and a quarter three.
func lengths(i int) int { return [4]int{2, 1, 2, 3}[i%4] }

// Math is the data set of word problems with right solutions.
func (w *World) Math() Split[MathRow] {
	return split(newRows(w.Seed, "math"), Counts.Math, false, func(s *source, i int) MathRow {
		p := problem(s, lengths(i))
		return MathRow{p.Text, p.Solution().Rationale(), fmt.Sprint(p.Answer)}
	}, MathRow.ask, by(MathRow.ask))
}

// Steps is the data set of pupils' solutions with a mark for every step.
func (w *World) Steps() Split[StepsRow] {
	return split(newRows(w.Seed, "steps"), Counts.Steps, false, func(s *source, i int) StepsRow {
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
	}, StepsRow.ask, by(StepsRow.ask))
}

// Code is the data set of small Go functions.
func (w *World) Code() Split[CodeRow] {
	return split(newRows(w.Seed, "code"), Counts.Code, false, func(s *source, _ int) CodeRow {
		p := program(s)
		return CodeRow(p)
	}, CodeRow.ask, by(CodeRow.ask))
}
