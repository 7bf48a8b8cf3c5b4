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
	dishes  = []string{"apple soup", "bean stew", "fish pie", "carrot cake", "rice salad", "onion bread", "potato curry", "lemon tart"}
	needs   = [][3]string{{"apples", "milk", "butter"}, {"beans", "onions", "pepper"}, {"fish", "flour", "butter"}, {"carrots", "flour", "eggs"}, {"rice", "beans", "lemon"}, {"onions", "flour", "salt"}, {"potatoes", "rice", "pepper"}, {"lemons", "eggs", "butter"}} // of the dishes, in order
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
	w := &World{Seed: seed}
	for i, dish := range dishes {
		w.Foods = append(w.Foods, Food{Name: dish, Needs: needs[i]})
	}
	s := newSource(seed, "facts")
	for i := range w.Foods {
		w.Foods[i].Minutes = pick(s, []int{10, 15, 20, 25, 30, 40})
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

// again is the fact as a sentence about somebody who was named before.
func (p Person) again(a attribute) string { return p.pronoun() + strings.TrimPrefix(p.say(a), p.Name) }

var askings = [attributes][]string{
	{"Where does %s live?", "In which town does %s live?", "What is the home town of %s?"},
	{"What is the job of %s?", "What does %s do for work?", "Which job does %s have?"},
	{"Which pet does %s have?", "What kind of animal does %s keep?", "What is the pet of %s?"},
	{"What does %s like to eat?", "Which food does %s like best?", "What is the favourite food of %s?"},
	{"Which colour is the house of %s?", "What colour is the house of %s?", "In which colour is the house of %s painted?"},
}

// askingsApart are the wordings in which the questions about two people have few
// phrases in common, so that two questions of a data set look different.
var askingsApart = func() (out [attributes][]string) {
	for a, list := range askings {
		for _, q := range list {
			if !strings.Contains(q, " of %s") {
				out[a] = append(out[a], q)
			}
		}
	}
	out[colour] = []string{"What colour did %s paint the house?", "Which colour has the house where %s lives?"}
	return out
}()

// Exchange is a question, the plain sentence that answers it, and the words
// that an answer cannot be right without.
type Exchange struct{ Question, Answer, Value string }

func (w *World) fact(s *source) Exchange {
	return pick(s, w.People).exchange(attribute(s.n(int(attributes))), s)
}

func (p Person) exchange(a attribute, s *source) Exchange {
	ask := askings[a]
	if s.rows {
		ask = askingsApart[a]
	}
	return Exchange{fmt.Sprintf(pick(s, ask), p.Name), p.say(a), p.value(a)}
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

// The two things to know about a dish, asked in three ways each.
var needing = []string{"What do I need for %s?", "Which things go into %s?", "What is in %s?"}
var lasting = []string{"How long do I cook %s?", "How many minutes does %s take?", "For how long must %s cook?"}

func (w *World) cooking(s *source) Exchange {
	f := pick(s, w.Foods)
	if s.chance(0.5) {
		return Exchange{fmt.Sprintf(pick(s, needing), f.Name), "You need " + f.list() + ".", f.list()}
	}
	return Exchange{fmt.Sprintf(pick(s, lasting), f.Name), fmt.Sprintf("Cook it for %d minutes.", f.Minutes), fmt.Sprint(f.Minutes)}
}

func (f Food) list() string { return fmt.Sprintf("%s, %s and %s", f.Needs[0], f.Needs[1], f.Needs[2]) }

// bio is two to five facts about one person.
func (w *World) bio(s *source) string {
	p := pick(s, w.People)
	out := make([]string, 0, attributes)
	for i, a := range sample(s, []attribute{town, job, pet, food, colour}, s.between(2, int(attributes))) {
		if i == 0 {
			out = append(out, p.say(a))
		} else {
			out = append(out, p.again(a))
		}
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
