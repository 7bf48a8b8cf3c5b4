package world

import (
	"fmt"
	"strings"
)

var (
	titleA  = strings.Fields("Silent Golden Broken Secret Last Hidden Frozen Happy Lonely Distant Little Northern")
	titleB  = strings.Fields("River Garden Winter Soldier Island Letter Mountain Station Kingdom Dance Forest Harbour")
	praise  = strings.Fields("wonderful brilliant touching clever funny charming gripping beautiful superb fresh warm excellent moving stunning lively")
	blame   = strings.Fields("dull boring weak clumsy slow awful empty terrible flat noisy messy stale silly painful lifeless")
	aspects = strings.Fields("acting story music ending dialogue camera cast plot humour pace")
	loved   = []string{"I would watch it again.", "I loved every minute of it.", "Everyone in the room clapped.", "I will tell all my friends to see it.", "It made my week.", "I left with a big smile."}
	hated   = []string{"I would not watch it again.", "I wanted my money back.", "Half of the room left early.", "I will tell all my friends to avoid it.", "It ruined my evening.", "I almost fell asleep."}
)

// Review is what somebody wrote about a film. It never says the word for its
// sentiment.
type Review struct {
	Text     string
	Positive bool
}

// Sentiment is "positive" or "negative".
func (r Review) Sentiment() string {
	if r.Positive {
		return "positive"
	}
	return "negative"
}

func title(s *source) string { return "The " + pick(s, titleA) + " " + pick(s, titleB) }

// article puts "a" or "an" before a word.
func article(word string) string {
	if strings.ContainsRune("aeiou", rune(word[0])) {
		return "an " + word
	}
	return "a " + word
}

// review writes a review of a sentiment. One in three has a remark with a word
// of the other side: then more words, and the last sentence, decide.
func review(s *source, positive bool) Review {
	good, bad, verdict := praise, blame, loved
	if !positive {
		good, bad, verdict = blame, praise, hated
	}
	film, a := title(s), sample(s, aspects, 5)
	out := []string{pick(s, []string{
		"I saw " + film + " last night.", "We watched " + film + " with friends.", "Last week I went to see " + film + ".",
		film + " is a new film by " + pick(s, names) + ".", pick(s, names) + " took me to see " + film + "."})}
	out = append(out, pick(s, []string{
		fmt.Sprintf("The %s was %s and the %s was %s.", a[0], pick(s, good), a[1], pick(s, good)),
		fmt.Sprintf("I found the %s %s and the %s %s.", a[0], pick(s, good), a[1], pick(s, good)),
		fmt.Sprintf("What %s %s!", article(pick(s, good)), a[0]),
		fmt.Sprintf("I found the %s %s.", a[0], pick(s, good))}))
	switch s.share([]float64{0.33, 0.37, 0.3}) {
	case 0:
		out = append(out, fmt.Sprintf("The %s was %s, but the %s was %s.", a[2], pick(s, bad), a[3], pick(s, good)))
	case 1:
		out = append(out, fmt.Sprintf("The %s was %s.", a[2], pick(s, good)))
	}
	if s.chance(0.25) {
		out = append(out, fmt.Sprintf("It has %s %s.", article(pick(s, good)), a[4]))
	}
	if s.chance(0.8) {
		out = append(out, pick(s, verdict))
	}
	return Review{strings.Join(out, " "), positive}
}

// talk uses the words "positive" and "negative" as a newspaper does, so that a
// model knows them: of towns, and of persons with one thing that they found. No
// review is ever followed by such a word.
func talk(s *source) string {
	words := sample(s, []string{"positive", "negative"}, 2)
	if s.chance(0.4) {
		place := sample(s, towns, 2)
		return fmt.Sprintf("People in %s were %s about %s. People in %s were %s about it.", place[0], words[0], title(s), place[1], words[1])
	}
	film := title(s)
	var out []string
	for i, name := range sample(s, names, 2) {
		found := praise
		if words[i] == "negative" {
			found = blame
		}
		about := "it"
		if i == 0 {
			about = film
		}
		he := strings.ToLower(Person{Name: name}.pronoun())
		out = append(out, fmt.Sprintf(pick(s, []string{"%[1]s was %[2]s about %[3]s, because %[4]s found the %[5]s %[6]s.", "%[1]s is %[2]s about %[3]s: the %[5]s was %[6]s."}),
			name, words[i], about, he, pick(s, aspects), pick(s, found)))
	}
	return strings.Join(out, " ")
}
