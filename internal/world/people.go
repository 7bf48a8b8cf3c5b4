package world

import (
	"fmt"
	"strings"
)

// Seed is the seed of the world that ft-tiny and the data sets of the
// repository come from.
const Seed = 7

var (
	names   = strings.Fields("Anna Ben Carla David Emma Frank Grace Henry Iris Jack Kate Leo Mia Noah Olga Paul Rosa Sam Tina Victor")
	women   = map[string]bool{"Anna": true, "Carla": true, "Emma": true, "Grace": true, "Iris": true, "Kate": true, "Mia": true, "Olga": true, "Rosa": true, "Tina": true}
	towns   = strings.Fields("Oakville Milltown Riverton Stonebridge Lakeside Hillford Greenport Sandbay")
	jobs    = strings.Fields("baker teacher doctor farmer painter sailor driver singer")
	pets    = strings.Fields("cat dog parrot rabbit horse turtle")
	colours = strings.Fields("red blue green yellow white black")
)

// Person is somebody with five facts that never change.
type Person struct {
	Name                         string
	Town, Job, Pet, Food, Colour string
}

// Food is a dish, what goes into it and how long it cooks.
type Food struct {
	Name    string
	Needs   [3]string
	Minutes int
}

// World holds what is true. Make one with [New].
type World struct {
	Seed   uint64
	People []Person
	Foods  []Food
}

// New makes the world of a seed.
func New(seed uint64) *World {
	w := &World{Seed: seed, Foods: []Food{
		{"apple soup", [3]string{"apples", "milk", "butter"}, 0},
		{"bean stew", [3]string{"beans", "onions", "pepper"}, 0},
		{"fish pie", [3]string{"fish", "flour", "butter"}, 0},
		{"carrot cake", [3]string{"carrots", "flour", "eggs"}, 0},
		{"rice salad", [3]string{"rice", "beans", "lemon"}, 0},
		{"onion bread", [3]string{"onions", "flour", "salt"}, 0},
		{"potato curry", [3]string{"potatoes", "rice", "pepper"}, 0},
		{"lemon tart", [3]string{"lemons", "eggs", "butter"}, 0},
	}}
	s := newSource(seed, "facts")
	for i := range w.Foods {
		w.Foods[i].Minutes = pick(s, []int{10, 15, 20, 25, 30, 40})
	}
	dishes := make([]string, len(w.Foods))
	for i, f := range w.Foods {
		dishes[i] = f.Name
	}
	// Dealt out like cards, so that no town is empty and no answer is much more
	// frequent than the others.
	town, job, pet := deal(s, towns), deal(s, jobs), deal(s, pets)
	food, colour := deal(s, dishes), deal(s, colours)
	for i, name := range names {
		w.People = append(w.People, Person{name, town[i], job[i], pet[i], food[i], colour[i]})
	}
	return w
}

// deal is one value for each person.
func deal(s *source, values []string) []string {
	var out []string
	for len(out) < len(names) {
		out = append(out, sample(s, values, len(values))...)
	}
	return out[:len(names)]
}

func (p Person) pronoun() string {
	if women[p.Name] {
		return "She"
	}
	return "He"
}

// attribute is one of the five things to know about a person.
type attribute int

const (
	town attribute = iota
	job
	pet
	food
	colour
	attributes
)

// value is what a right answer must contain.
func (p Person) value(a attribute) string {
	return [attributes]string{p.Town, p.Job, p.Pet, p.Food, p.Colour}[a]
}

var sayings = [attributes]string{"%s lives in %s.", "%s is a %s.", "%s has a %s.", "%s likes to eat %s.", "%s has a %s house."}

// say is the fact as a sentence.
func (p Person) say(a attribute) string { return fmt.Sprintf(sayings[a], p.Name, p.value(a)) }

var askings = [attributes][]string{
	{"Where does %s live?", "In which town does %s live?", "What is the home town of %s?"},
	{"What is the job of %s?", "What does %s do for work?", "Which job does %s have?"},
	{"Which pet does %s have?", "What kind of animal does %s keep?", "What is the pet of %s?"},
	{"What does %s like to eat?", "Which food does %s like best?", "What is the favourite food of %s?"},
	{"Which colour is the house of %s?", "What colour is the house of %s?", "In which colour is the house of %s painted?"},
}

// Exchange is a question, the plain sentence that answers it, and the words
// that an answer cannot be right without.
type Exchange struct{ Question, Answer, Value string }

func (w *World) fact(s *source) Exchange {
	return pick(s, w.People).exchange(attribute(s.n(int(attributes))), s)
}

func (p Person) exchange(a attribute, s *source) Exchange {
	return Exchange{fmt.Sprintf(pick(s, askings[a]), p.Name), p.say(a), p.value(a)}
}

// Facts asks for every fact about every person once, in the first wording: what a
// model that has learnt the world answers.
func (w *World) Facts() []Exchange {
	var out []Exchange
	for _, p := range w.People {
		for a := range attributes {
			out = append(out, Exchange{fmt.Sprintf(askings[a][0], p.Name), p.say(a), p.value(a)})
		}
	}
	return out
}

func (w *World) cooking(s *source) Exchange {
	f := pick(s, w.Foods)
	if s.chance(0.5) {
		ask := pick(s, []string{"What do I need for %s?", "Which things go into %s?", "What is in %s?"})
		return Exchange{fmt.Sprintf(ask, f.Name), "You need " + f.list() + ".", f.list()}
	}
	ask := pick(s, []string{"How long do I cook %s?", "How many minutes does %s take?", "For how long must %s cook?"})
	return Exchange{fmt.Sprintf(ask, f.Name), fmt.Sprintf("Cook it for %d minutes.", f.Minutes), fmt.Sprint(f.Minutes)}
}

func (f Food) list() string { return fmt.Sprintf("%s, %s and %s", f.Needs[0], f.Needs[1], f.Needs[2]) }

// bio is two to five facts about one person.
func (w *World) bio(s *source) string {
	p := pick(s, w.People)
	out := make([]string, 0, attributes)
	for i, a := range sample(s, []attribute{town, job, pet, food, colour}, s.between(2, int(attributes))) {
		t := p.say(a)
		if i > 0 {
			t = p.pronoun() + strings.TrimPrefix(t, p.Name)
		}
		out = append(out, t)
	}
	return strings.Join(out, " ")
}

// quiz is one to three questions with their answers.
func (w *World) quiz(s *source) string {
	var out []string
	for range s.between(1, 3) {
		e := w.fact(s)
		if s.chance(0.15) {
			e = w.cooking(s)
		}
		out = append(out, "Q: "+e.Question+"\nA: "+e.Answer)
	}
	return strings.Join(out, "\n")
}

func (w *World) recipe(s *source, f Food) string {
	end := pick(s, []string{"Serve it hot.", "Let it cool before you eat.", "Share it with your friends.", "Serve it with " + pick(s, []string{"bread", "salad", "tea"}) + "."})
	return fmt.Sprintf("Recipe for %s. You need %s. First %s the %s. Then add the %s and %s. Add the %s. Cook it for %d minutes. %s",
		f.Name, f.list(), pick(s, []string{"wash", "clean", "prepare"}), f.Needs[0], f.Needs[1],
		pick(s, []string{"stir well", "wait a little", "heat the pan"}), f.Needs[2], f.Minutes, end)
}
