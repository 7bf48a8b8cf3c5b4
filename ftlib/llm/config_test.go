package llm

import (
	"slices"
	"testing"
)

func TestWindowOfMistral(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{{"", 4096}, {`"sliding_window": null,`, 0}, {`"sliding_window": 7,`, 7}} {
		got, err := ParseConfig([]byte(`{` + c.text + `"model_type":"mistral","vocab_size":61,"hidden_size":32,"num_hidden_layers":2,
			"num_attention_heads":8,"intermediate_size":48}`))
		if err != nil || !slices.Equal(got.Windows, []int{c.want, c.want}) {
			t.Errorf("%q: windows %v, %v", c.text, got.Windows, err)
		}
	}
}
