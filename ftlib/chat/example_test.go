package chat_test

import (
	"fmt"

	"ftlab/ftlib/chat"
)

func Example() {
	tmpl, err := chat.Builtin("chatml")
	if err != nil {
		panic(err)
	}
	spans, err := tmpl.Render([]chat.Message{
		{Role: "user", Content: "2 + 3?"},
		{Role: "assistant", Content: "5"},
	}, chat.RenderOptions{})
	if err != nil {
		panic(err)
	}
	for _, s := range spans {
		fmt.Printf("%-9s %-5v %q\n", s.Role, s.Train, s.Text)
	}
	// Output:
	// user      false "<|im_start|>user\n2 + 3?<|im_end|>\n"
	// assistant false "<|im_start|>assistant\n"
	// assistant true  "5<|im_end|>"
	// assistant false "\n"
}

func ExampleTemplate_Text() {
	tmpl, err := chat.Builtin("guanaco")
	if err != nil {
		panic(err)
	}
	text, err := tmpl.Text([]chat.Message{{Role: "user", Content: "Name a colour."}}, chat.RenderOptions{AddGenerationPrompt: true})
	if err != nil {
		panic(err)
	}
	fmt.Println(text)
	// Output:
	// <s>### Human: Name a colour.
	// ### Assistant:
}

func ExampleParse() {
	tmpl, err := chat.Parse("{% for m in messages %}[{{ m.role | upper }}] {{ m.content }}{{ eos_token }}{% endfor %}", chat.Options{EOS: "</s>"})
	if err != nil {
		panic(err)
	}
	spans, err := tmpl.Render([]chat.Message{{Role: "assistant", Content: "Hello."}}, chat.RenderOptions{})
	fmt.Println(spans, err)
	// Output:
	// [{[ASSISTANT]  assistant false} {Hello.</s> assistant true}] <nil>
}
