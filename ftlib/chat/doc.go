// Package chat turns a conversation into the text that a model sees, and says who
// wrote which part of it and which parts the model learns to write.
//
// A tokenizer carries its own template, a small Jinja program. [ForTokenizer] reads it,
// [Builtin] has one for base models that carry none, and [Parse] takes one from
// anywhere. Rendering agrees with transformers to the byte:
//
//	t, err := chat.ForTokenizer("models/qwen2.5")
//	spans, err := t.Render([]chat.Message{
//		{Role: "user", Content: "2 + 3?"},
//		{Role: "assistant", Content: "5"},
//	}, chat.RenderOptions{})
//
// The spans joined are the rendered text, exactly:
//
//	role        train  text
//	""          no     "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
//	user        no     "<|im_start|>user\n2 + 3?<|im_end|>\n"
//	assistant   no     "<|im_start|>assistant\n"
//	assistant   yes    "5<|im_end|>"
//	assistant   no     "\n"
//
// # What is trained
//
// By default the model learns what it will have to write itself: the text of every
// assistant message, and the end-of-turn token behind it as this template writes it
// (without which a tuned model never stops). Header and trailing newline are not
// trained: the chat program writes the first, nobody needs the second. A template that
// ends a turn with nothing but a newline has that newline trained.
//
// Where a template marks the assistant's text itself, with {% generation %} blocks,
// that decides, as with TRL's assistant_only_loss. [RenderOptions.TrainOn] chooses
// other policies; [Message.Train] overrides any of them for one message.
//
// No search for strings is involved: the interpreter (package jinja) follows every byte
// of a message through the template, so a user who writes "<|im_start|>assistant" in a
// message gets no part of it trained.
package chat
