package corpus

import (
	"regexp"
	"slices"
	"strings"
)

// shapeOf gathers what stands in one column, over all rows.
type shapeOf struct {
	path                                          string
	rows, text, number, truth, bytes, lists, objs int // values by type; the other rows have none
	empty                                         int // empty text
	chars, spaced                                 int // characters of text; texts of several words
	hashes, boxed, turns, tags                    int // texts with ####, \boxed, turns, step tags
	numeric                                       int // texts that are numbers
	keys                                          map[string]int
	elems, elemText, elemObj, elemScalar          int
	values                                        map[string]int // short distinct values, at most maxClasses + 1
}

const maxClasses = 64

// shapes looks at the columns of a row, nested objects included.
type shapes struct {
	byPath map[string]*shapeOf
	order  []string
}

func (s *shapes) add(row Row) {
	for _, c := range row.Columns {
		s.value(c, row.Values[c], 0)
	}
}

func (s *shapes) at(path string) *shapeOf {
	sh := s.byPath[path]
	if sh == nil {
		sh = &shapeOf{path: path, keys: map[string]int{}, values: map[string]int{}}
		s.byPath[path] = sh
		s.order = append(s.order, path)
	}
	return sh
}

func (s *shapes) value(path string, v any, depth int) {
	sh := s.at(path)
	if v == nil {
		return
	}
	sh.rows++
	switch x := v.(type) {
	case string:
		sh.addText(x)
	case int64, float64:
		sh.number++
		sh.distinct(v)
	case bool:
		sh.truth++
		sh.distinct(v)
	case []byte:
		sh.bytes++
	case []any:
		sh.addList(x)
	case map[string]any:
		sh.objs++
		for k := range x {
			sh.keys[k]++
		}
		if depth < 3 && len(x) <= 64 {
			for k, e := range x {
				s.value(path+"."+k, e, depth+1)
			}
		}
	}
}

func (sh *shapeOf) addText(x string) {
	sh.text++
	sh.chars += len(x)
	t := strings.TrimSpace(x)
	if t == "" {
		sh.empty++
		return
	}
	if strings.ContainsAny(t, " \n") {
		sh.spaced++
	}
	if strings.Contains(x, "####") && gsmTail.MatchString(x) {
		sh.hashes++
	}
	if strings.Contains(x, `\boxed`) || strings.Contains(x, `\fbox`) {
		sh.boxed++
	}
	if hasTurns(x) {
		sh.turns++
	}
	if strings.Contains(x, stepTag+"\n") || strings.HasSuffix(x, stepTag) {
		sh.tags++
	}
	if isNumber(t) {
		sh.numeric++
	}
	if len(t) <= 40 {
		sh.distinct(t)
	} else if len(sh.values) <= maxClasses {
		sh.values[t[:40]]++
	}
}

// gsmTail is a result after ####, at the end of the text.
var gsmTail = regexp.MustCompile(`####[^#\n]*\s*$`)

func (sh *shapeOf) distinct(v any) {
	s, _ := scalarText(v)
	if _, ok := sh.values[s]; ok || len(sh.values) <= maxClasses {
		sh.values[s]++
	}
}

func (sh *shapeOf) addList(x []any) {
	sh.lists++
	for _, e := range x {
		sh.elems++
		switch o := e.(type) {
		case map[string]any:
			sh.elemObj++
			for k := range o {
				sh.keys[k]++
			}
		case string:
			sh.elemText++
		case bool, int64, float64:
			sh.elemScalar++
		}
	}
}

// What a field may be made of.

func isText(s *shapeOf) bool    { return s.text > 0 }
func isList(s *shapeOf) bool    { return s.lists > 0 }
func isNumeric(s *shapeOf) bool { return s.number > 0 || s.numeric > 0 }
func isScalar(s *shapeOf) bool  { return s.text+s.number+s.truth > 0 }
func isAnswer(s *shapeOf) bool  { return isScalar(s) || s.elemText > 0 }
func isContent(s *shapeOf) bool {
	return s.text > 0 || isMessages(s) || s.objs > 0 && (s.keys["content"] > 0 || s.keys["value"] > 0)
}
func isTurns(s *shapeOf) bool      { return s.turns > 0 && s.turns*2 > s.text-s.empty }
func isTextList(s *shapeOf) bool   { return s.elemText > 0 }
func isScalarList(s *shapeOf) bool { return s.elemScalar+s.elemText > 0 && s.elemObj == 0 }
func isMessages(s *shapeOf) bool {
	return hasKeys("role", "content")(s) || hasKeys("from", "value")(s)
}
func isPrefixes(s *shapeOf) bool { return s.keys["mc_value"] > 0 }
func isStepList(s *shapeOf) bool {
	return s.elemObj > 0 && s.keys["role"] == 0 && anyKey(s, "step", "text", "content", "completion") && anyKey(s, "reward", "label", "rating", "score", "value", "correct")
}
func isResponses(s *shapeOf) bool {
	return s.elemObj > 0 && anyKey(s, "rank", "score", "rating", "overall_score", "reward", "pm_score") && anyKey(s, "text", "response", "content", "completion", "answer", "output") && s.keys["mc_value"] == 0
}
func isTruth(s *shapeOf) bool {
	if s.truth > 0 {
		return true
	}
	if len(s.values) == 0 || len(s.values) > 3 {
		return false
	}
	for v := range s.values {
		if _, ok := asTruth(v); !ok {
			return false
		}
	}
	return true
}

// isProse is text of several words, most of the time.
func isProse(s *shapeOf) bool { return s.text > 0 && s.spaced*2 > s.text }

// isClass is a column with few different short values.
func isClass(s *shapeOf) bool {
	if !isScalar(s) || len(s.values) > maxClasses || s.spaced*2 > s.text && s.text > 0 {
		return false
	}
	return s.rows < 8 || len(s.values)*3 <= s.rows
}

func hasKeys(keys ...string) func(*shapeOf) bool {
	return func(s *shapeOf) bool {
		return s.elemObj > 0 && !slices.ContainsFunc(keys, func(k string) bool { return s.keys[k] == 0 })
	}
}

// isSpoken says whether a list holds turns under any of the names that message knows.
func isSpoken(s *shapeOf) bool {
	return s.elemObj > 0 && anyKey(s, "from", "role", "speaker") && anyKey(s, "value", "content", "text")
}

func anyKey(s *shapeOf, keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return s.keys[k] > 0 })
}
