package corpus

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Stats describes a data set column by column, whatever its kind.
type Stats struct {
	Rows    int           `json:"rows"`
	Broken  int           `json:"broken"`
	Bytes   int64         `json:"bytes"` // of all text
	Columns []ColumnStats `json:"columns"`
	Scripts []Share       `json:"scripts"` // of all letters
	Langs   []Share       `json:"languages"`
	Charset string        `json:"charset"` // smallest that holds all text: ASCII, Latin-1, Unicode
}

// ColumnStats describes one column; nested columns have dotted names.
type ColumnStats struct {
	Name     string         `json:"name"`
	Types    map[string]int `json:"types"`
	Null     int            `json:"null"`     // null, or not there
	Empty    int            `json:"empty"`    // empty text or list
	Min      float64        `json:"min"`      // characters of text, elements of a list, or the number itself
	Mean     float64        `json:"mean"`     //
	Max      float64        `json:"max"`      //
	Distinct int            `json:"distinct"` // values; at most 1001 are counted
	Example  string         `json:"example"`

	sum  float64
	n    int
	rows int
	seen map[uint64]bool
}

// Share is a part of the whole, from 0 to 1.
type Share struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`
}

// Describe reads all rows once.
func Describe(rows iter.Seq2[Row, error]) Stats {
	d := &describer{cols: map[string]*ColumnStats{}, scripts: map[string]int{}, langs: map[string]int{}, charset: "ASCII"}
	for row, err := range rows {
		d.s.Rows++
		if err != nil && row.Values == nil {
			d.s.Broken += asRowError(err).lost()
			d.s.Rows += asRowError(err).lost() - 1
			continue
		}
		for _, c := range row.Columns {
			d.value(c, row.Values[c], 0)
		}
	}
	good := d.s.Rows - d.s.Broken
	for _, name := range d.order {
		c := d.cols[name]
		if !strings.Contains(name, "[]") {
			c.Null = max(0, good-c.rows)
		}
		if c.n > 0 {
			c.Mean = c.sum / float64(c.n)
		}
		c.Distinct = len(c.seen)
		d.s.Columns = append(d.s.Columns, *c)
	}
	d.s.Scripts, d.s.Langs, d.s.Charset = shares(d.scripts, 0.001), shares(d.langs, 0.01), d.charset
	return d.s
}

type describer struct {
	s       Stats
	cols    map[string]*ColumnStats
	order   []string
	scripts map[string]int
	langs   map[string]int
	charset string
}

const mostDistinct = 1001

func (d *describer) value(path string, v any, depth int) {
	c := d.cols[path]
	if c == nil {
		if len(d.cols) >= 300 {
			return
		}
		c = &ColumnStats{Name: path, Types: map[string]int{}, seen: map[uint64]bool{}}
		d.cols[path] = c
		d.order = append(d.order, path)
	}
	if v == nil {
		return
	}
	c.rows++
	measure := func(x float64) {
		if c.n == 0 || x < c.Min {
			c.Min = x
		}
		if c.n == 0 || x > c.Max {
			c.Max = x
		}
		c.sum += x
		c.n++
	}
	see := func(s string) {
		if len(c.seen) < mostDistinct {
			c.seen[hashText(s)] = true
		}
		if c.Example == "" && strings.TrimSpace(s) != "" {
			c.Example = cutText(s, 200)
		}
	}
	switch x := v.(type) {
	case string:
		c.Types["text"]++
		if strings.TrimSpace(x) == "" {
			c.Empty++
		}
		measure(float64(utf8.RuneCountInString(x)))
		see(x)
		d.text(x)
	case bool:
		c.Types["bool"]++
		see(fmt.Sprint(x))
	case int64:
		c.Types["int"]++
		measure(float64(x))
		see(fmt.Sprint(x))
	case float64:
		c.Types["float"]++
		measure(x)
		see(fmt.Sprint(x))
	case []byte:
		c.Types["bytes"]++
		measure(float64(len(x)))
	case []any:
		c.Types["list"]++
		if len(x) == 0 {
			c.Empty++
		}
		measure(float64(len(x)))
		if depth < 4 {
			for _, e := range x {
				if obj, ok := e.(map[string]any); ok {
					for _, k := range slices.Sorted(maps.Keys(obj)) {
						d.value(path+"[]."+k, obj[k], depth+1)
					}
				} else if e != nil {
					d.value(path+"[]", e, depth+1)
				}
			}
		}
	case map[string]any:
		c.Types["object"]++
		if depth < 4 {
			for _, k := range slices.Sorted(maps.Keys(x)) {
				d.value(path+"."+k, x[k], depth+1)
			}
		}
	}
}

func hashText(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// cutText is the beginning of a text, at most n runes.
func cutText(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i] + "…"
		}
	}
	return s
}

func (d *describer) text(s string) {
	d.s.Bytes += int64(len(s))
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
				d.scripts["Latin"]++
			}
			continue
		case r <= 0xff && d.charset == "ASCII":
			d.charset = "Latin-1"
		case r > 0xff:
			d.charset = "Unicode"
		}
		if unicode.IsLetter(r) {
			d.scripts[scriptOf(r)]++
		}
	}
	if l := language(s); l != "" {
		d.langs[l]++
	}
}

var commonScripts = []string{"Latin", "Cyrillic", "Han", "Hiragana", "Katakana", "Hangul", "Arabic", "Hebrew", "Greek", "Devanagari", "Thai", "Bengali", "Tamil"}

func scriptOf(r rune) string {
	for _, name := range commonScripts {
		if unicode.Is(unicode.Scripts[name], r) {
			return name
		}
	}
	return "other"
}

// smallWords tell languages in Latin script apart.
var smallWords = map[string][]string{
	"English":    strings.Fields("the and is of to that it was you for with this are"),
	"German":     strings.Fields("der die und ist nicht das ein ich sie mit auf für den"),
	"French":     strings.Fields("le la les est et des une que dans pas pour je vous"),
	"Spanish":    strings.Fields("el los que es una por con para las del como no se"),
	"Italian":    strings.Fields("il che è di una per non con sono della gli si"),
	"Portuguese": strings.Fields("o que é uma não para com os um por mais como do"),
	"Dutch":      strings.Fields("de het een en van is niet dat ik op te voor"),
}

var wordLanguages = func() map[string][]string {
	out := map[string][]string{}
	for lang, words := range smallWords {
		for _, w := range words {
			out[w] = append(out[w], lang)
		}
	}
	return out
}()

// language guesses the language of a text of some words by its small words, or by
// its script. "" is no guess: short texts, code, numbers.
func language(s string) string {
	votes := map[string]int{}
	words := strings.Fields(cutText(s, 2000))
	if len(words) < 8 {
		return ""
	}
	for _, w := range words {
		for _, l := range wordLanguages[strings.ToLower(strings.Trim(w, ".,!?;:\"'()"))] {
			votes[l]++
		}
	}
	best, second, lang := 0, 0, ""
	for _, l := range slices.Sorted(maps.Keys(votes)) {
		if votes[l] > best {
			best, second, lang = votes[l], best, l
		} else if votes[l] > second {
			second = votes[l]
		}
	}
	if best*12 < len(words) || best < second+1 {
		return ""
	}
	return lang
}

func shares(counts map[string]int, least float64) []Share {
	total := 0
	for _, n := range counts {
		total += n
	}
	var out []Share
	for name, n := range counts {
		if s := float64(n) / float64(total); s >= least {
			out = append(out, Share{name, s})
		}
	}
	sort.Slice(out, func(i, j int) bool {
		return cmp.Or(cmp.Compare(out[j].Share, out[i].Share), cmp.Compare(out[i].Name, out[j].Name)) < 0
	})
	return out
}
