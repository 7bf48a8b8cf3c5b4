package jinja_test

import (
	"fmt"

	"ftlab/ftlib/chat/jinja"
)

func Example() {
	t, err := jinja.Parse(`{% for word in words if word | length > 2 %}{{ loop.index }}. {{ word | capitalize }}
{% endfor %}`)
	if err != nil {
		panic(err)
	}
	out, err := t.Render(map[string]jinja.Value{
		"words": jinja.From([]string{"one", "to", "three"}, 0, 0),
	}, jinja.Options{})
	fmt.Print(out.Text, err)
	// Output:
	// 1. One
	// 2. Three
	// <nil>
}

// Marks tell which bytes of the output were read from which message.
func ExampleTemplate_Render() {
	t, err := jinja.Parse(`Said: {{ text | trim | upper }}!`)
	if err != nil {
		panic(err)
	}
	out, err := t.Render(map[string]jinja.Value{"text": jinja.Mark("  hi  ", 7, jinja.Content)}, jinja.Options{})
	if err != nil {
		panic(err)
	}
	for _, m := range out.Marks {
		fmt.Printf("%q from message %d\n", out.Text[m.From:m.To], m.Tag)
	}
	// Output:
	// "HI" from message 7
}
