package world

import (
	"fmt"
	"iter"
	"strings"
)

// Genre is a kind of pretraining document.
type Genre int

const (
	Talk Genre = iota
	Film
	Bio
	Quiz
	Cooking
	Dialogue
	Equation
	Wordproblem
	Coding
	genres
)

// String is the genre in words.
func (g Genre) String() string {
	return [genres]string{"talk about films", "film review", "bio", "questions and answers", "recipe", "dialogue", "equations", "word problem", "small program"}[g]
}

// Mixture is the share of each genre among the documents, in per cent.
var Mixture = [genres]float64{
	Talk: 5, Film: 18, Bio: 9, Quiz: 11, Cooking: 5, Dialogue: 9, Equation: 18, Wordproblem: 22, Coding: 3,
}

// Hints is the share of word problems that tell the answer beforehand; those are
// always solved right, as in a teacher's key.
const Hints = 0.2

// Document is one text to pretrain on.
type Document struct {
	Genre Genre
	Text  string
	key   string // the part that may be reserved: the review, the problem
}

// Documents writes n documents, from a stream of its own. No reserved text (see
// [Reserved]) is among them, so that a model that was pretrained on them can be
// evaluated on the validation rows.
func (w *World) Documents(stream string, n int) iter.Seq[Document] {
	return func(yield func(Document) bool) {
		s := newSource(w.Seed, "documents "+stream)
		for range n {
			g := Genre(s.share(Mixture[:]))
			d := w.document(s, g)
			for d.key != "" && Reserved(d.key) {
				d = w.document(s, g)
			}
			if !yield(d) {
				return
			}
		}
	}
}

func (w *World) document(s *source, g Genre) Document {
	switch g {
	case Talk:
		return Document{Genre: g, Text: talk(s)}
	case Film:
		t := review(s, s.chance(0.5)).Text
		return Document{g, t, t}
	case Bio:
		return Document{Genre: g, Text: w.bio(s)}
	case Quiz:
		return Document{Genre: g, Text: w.quiz(s)}
	case Cooking:
		return Document{Genre: g, Text: w.recipe(s, pick(s, w.Foods))}
	case Dialogue:
		return Document{Genre: g, Text: w.dialogue(s)}
	case Equation:
		var out []string
		for range s.between(1, 6) {
			out = append(out, equation(s).String())
		}
		return Document{Genre: g, Text: strings.Join(out, " ")}
	case Coding:
		f := program(s)
		return Document{g, fmt.Sprintf("// %s\n%s", f.Problem, f.Code), f.Problem}
	}
	q := problem(s, 1+s.share([]float64{0.3, 0.55, 0.15}))
	if s.chance(Hints) {
		return Document{g, q.Prompt(true) + " " + q.Solution().String(), q.Text}
	}
	return Document{g, q.Prompt(false) + " " + Pretraining.draw(s).solve(s, q).String(), q.Text}
}
