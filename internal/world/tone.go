package world

import "fmt"

// The two tones have sentences of about the same length, so that a model that
// learns to prefer one has not learnt to prefer long answers.
var (
	politeOpen  = []string{"Of course!", "With pleasure!", "I am glad you asked.", "Good question!", "Happy to help!", "Thank you for asking.", "Let me help you.", "What a nice question!"}
	politeClose = []string{"I hope that helps.", "Let me know if you need more.", "Have a lovely day!", "Ask me any time.", "Please come again.", "It was a pleasure.", "Take care!", "You are always welcome."}
	curtOpen    = []string{"Not again.", "Why do you ask me?", "If I must.", "What now?", "Everyone knows that.", "You should know this.", "Leave me alone.", "What a strange question."}
	curtClose   = []string{"Now go away.", "Stop asking.", "Look it up next time.", "I am busy.", "Do not bother me again.", "That is all you get.", "Do not waste my time.", "Find out yourself."}
)

func polite(s *source, answer string) string {
	return pick(s, politeOpen) + " " + answer + " " + pick(s, politeClose)
}

func curt(s *source, answer string) string {
	return pick(s, curtOpen) + " " + answer + " " + pick(s, curtClose)
}

// exchange is any question that the world has an answer to.
func (w *World) exchange(s *source) Exchange {
	switch s.share([]float64{0.5, 0.12, 0.38}) {
	case 0:
		return w.fact(s)
	case 1:
		return w.cooking(s)
	default:
		return sum(s)
	}
}

// dialogue is a question that somebody asks and somebody else answers, as often
// politely as curtly.
func (w *World) dialogue(s *source) string {
	e := w.exchange(s)
	two := sample(s, names, 2)
	reply := curt(s, e.Answer)
	if s.chance(0.5) {
		reply = polite(s, e.Answer)
	}
	return fmt.Sprintf(`"%s" asked %s. "%s" said %s.`, e.Question, two[0], reply, two[1])
}
