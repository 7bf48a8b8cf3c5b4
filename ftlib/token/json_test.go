package token

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

var jsonSeeds = []string{
	`{"a": 0, "b":1 ,"\u0120t": 2, "\"\\": 3, "\\": 4, "é\n": 5}`, `{}`, ` { "a" : 1 } `, `{"a": 1,}`, `{"a": 1 "b": 2}`, `{"a"}`, `{"a": -1}`,
	`{"a": 1.5}`, `{"a": 99999999999}`, `{"a": 1}x`, `{"a": "b"}`, `{"a`, `{"a\`, `["a"]`, `null`, ``, `{"a": 1, "a": 2}`, "{\"\xff\": 1}", "{\"a\tb\": 1}",
	`{"a": {"b": [1, {"c": "]}"}]}, "d": [true, null, -1e5], "e": "\\\""}`,
}

// FuzzJSON compares the fast readers with encoding/json.
func FuzzJSON(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want map[string]int32
		err := json.Unmarshal(data, &want)
		negative := slices.ContainsFunc(slices.Collect(maps.Values(want)), func(id int32) bool { return id < 0 })
		if got, gotErr := parseVocab(data); err == nil && !negative && (gotErr != nil || !maps.Equal(got, want)) {
			t.Errorf("vocabulary %v (%v), want %v", got, gotErr, want)
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) != nil {
			return
		}
		got, ok := fields(data)
		if !ok {
			return // encoding/json takes over
		}
		for k, v := range object {
			if string(got[k]) != string(v) {
				t.Errorf("field %q is %s, want %s", k, got[k], v)
			}
		}
	})
}

func TestMergesForms(t *testing.T) {
	want := mergesJSON{{"a", "b"}, {"Ġ", "\"\\"}, {"c", "d"}}
	for _, s := range []string{
		`[["a", "b"], ["\u0120", "\"\\"], ["c","d"]]`, `["a b", "\u0120 \"\\", "c d"]`, ` [ "a b" , "Ġ \"\\" , "c d" ] `, `["#version: 0.2", "a b", "Ġ \"\\", "c d"]`,
	} {
		var got mergesJSON
		if err := json.Unmarshal([]byte(s), &got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q (%v)", s, got, err)
		}
	}
	for s, want := range map[string]string{`["a b c"]`: "merge 0", `["a b", "c"]`: "merge 1", `[1]`: "neither", `{"a": 1}`: "neither"} {
		var got mergesJSON
		if err := json.Unmarshal([]byte(s), &got); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", s, err, want)
		}
	}
}
