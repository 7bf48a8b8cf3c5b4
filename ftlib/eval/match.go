package eval

import (
	"context"
	"fmt"
)

// Question is a prompt with the answer that is expected.
type Question struct {
	IDs    []int32 `json:"-"` // the prompt as the model is to see it
	Prompt string  `json:"prompt"`
	Answer string  `json:"answer"`
	File   string  `json:"file"`
	Row    int     `json:"row"`
}

// Answered is a question with what the model wrote.
type Answered struct {
	Question
	Text  string `json:"text"`
	Right bool   `json:"right"`
}

// Matches is the outcome of [ExactMatch].
type Matches struct {
	Rows     int        `json:"rows"`
	Right    int        `json:"right"`
	Accuracy float64    `json:"accuracy"`
	Answers  []Answered `json:"answers,omitempty"`
}

// ExactMatch asks the questions in groups of size and compares the final answers.
// generate gives a text for each question of a group. When ctx ends, what was
// answered until then is returned with its error.
func ExactMatch(ctx context.Context, questions []Question, size int, generate func(ctx context.Context, group []Question) ([]string, error)) (Matches, error) {
	var m Matches
	for from := 0; from < len(questions); from += size {
		group := questions[from:min(from+size, len(questions))]
		texts, err := generate(ctx, group)
		if err != nil {
			return m, fmt.Errorf("eval: %w", err)
		}
		if len(texts) != len(group) {
			return m, fmt.Errorf("eval: %d answers to %d questions", len(texts), len(group))
		}
		for i, q := range group {
			a := Answered{Question: q, Text: texts[i], Right: Right(texts[i], q.Answer)}
			if a.Right {
				m.Right++
			}
			m.Answers = append(m.Answers, a)
		}
		m.Rows = len(m.Answers)
		m.Accuracy = float64(m.Right) / float64(m.Rows)
	}
	return m, nil
}
