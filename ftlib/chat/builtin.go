package chat

import (
	"fmt"
	"sort"
	"strings"
)

// builtin is a template that comes with the package. They are written for base models,
// which carry none, and agree with the templates that the tuned models of the family
// carry; every one ends an assistant's turn with a token. Guanaco and alpaca, which no
// model carries, write the BOS that plain text would get.
type builtin struct {
	names    []string
	bos, eos string
	source   string
}

const (
	zephyrSource = `{%- for m in messages %}
{{- '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|assistant|>\n' }}
{%- endif %}`

	llama2Source = `{%- if messages[0].role == 'system' %}
{%- set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}
{%- set turns = messages[1:] %}
{%- else %}
{%- set system = '' %}
{%- set turns = messages %}
{%- endif %}
{%- for m in turns %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif %}
{%- if m.role == 'user' %}
{%- set content = system + m.content if loop.first else m.content %}
{{- bos_token }}{{ '[INST] ' + content.strip() + ' [/INST]' }}
{%- elif m.role == 'assistant' %}
{{- ' ' + m.content.strip() + ' ' + eos_token }}
{%- endif %}
{%- endfor %}`

	chatmlSource = `{%- for m in messages %}
{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n' }}
{%- endif %}`

	qwenSource = `{%- if messages[0].role != 'system' %}
{{- '<|im_start|>system\n%SYSTEM%<|im_end|>\n' }}
{%- endif %}
` + chatmlSource

	phiSource = `{%- for m in messages %}
{%- if m.role == 'user' %}
{{- 'Instruct: ' + m.content.strip() + '\n' }}
{%- elif m.role == 'assistant' %}
{{- 'Output: ' + m.content.strip() + eos_token + '\n' }}
{%- else %}
{{- m.content.strip() + '\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- 'Output:' }}
{%- endif %}`

	phi3Source = `{%- for m in messages %}
{%- if m.role in ['system', 'user', 'assistant'] and (m.content or m.role != 'system') %}
{{- '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|assistant|>\n' }}
{%- else %}
{{- eos_token }}
{%- endif %}`

	mistralSource = `{%- if messages[0].role == 'system' %}
{%- set system = messages[0].content + '\n\n' %}
{%- set turns = messages[1:] %}
{%- else %}
{%- set system = '' %}
{%- set turns = messages %}
{%- endif %}
{{- bos_token }}
{%- for m in turns %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('After the optional system message, conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif %}
{%- if m.role == 'user' %}
{{- ' [INST] ' + (system if loop.first else '') + m.content + ' [/INST]' }}
{%- elif m.role == 'assistant' %}
{{- ' ' + m.content + eos_token }}
{%- else %}
{{- raise_exception('Only user and assistant roles are supported, with the exception of an initial optional system message!') }}
{%- endif %}
{%- endfor %}`

	llama3Source = `{{- bos_token }}
{%- for m in messages %}
{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}`

	guanacoSource = `{{- bos_token }}
{%- for m in messages %}
{%- if m.role == 'user' %}
{{- '### Human: ' + m.content + '\n' }}
{%- elif m.role == 'assistant' %}
{{- '### Assistant: ' + m.content + eos_token + '\n' }}
{%- else %}
{{- m.content + '\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '### Assistant:' }}
{%- endif %}`

	alpacaSource = `{{- bos_token }}
{%- if messages[0].role == 'system' %}
{%- set turns = messages[1:] %}
{{- messages[0].content + '\n\n' }}
{%- else %}
{%- set turns = messages %}
{{- 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' }}
{%- endif %}
{%- for m in turns %}
{%- if m.role == 'user' %}
{{- '### Instruction:\n' + m.content + '\n\n' }}
{%- elif m.role == 'assistant' %}
{{- '### Response:\n' + m.content + eos_token + '\n\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '### Response:\n' }}
{%- endif %}`
)

func builtins() []builtin {
	qwen := func(system string) string { return strings.Replace(qwenSource, "%SYSTEM%", system, 1) }
	return []builtin{
		{[]string{"zephyr", "tinyllama"}, "<s>", "</s>", zephyrSource},
		{[]string{"llama-2", "llama2"}, "<s>", "</s>", llama2Source},
		{[]string{"llama-3", "llama3"}, "<|begin_of_text|>", "<|eot_id|>", llama3Source},
		{[]string{"chatml"}, "", "<|im_end|>", chatmlSource},
		{[]string{"qwen2.5", "qwen"}, "", "<|im_end|>", qwen("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")},
		{[]string{"qwen2.5-math"}, "", "<|im_end|>", qwen(`Please reason step by step, and put your final answer within \\boxed{}.`)},
		{[]string{"phi", "phi-2"}, "", "<|endoftext|>", phiSource},
		{[]string{"phi-3", "phi3"}, "<s>", "<|endoftext|>", phi3Source},
		{[]string{"mistral"}, "<s>", "</s>", mistralSource},
		{[]string{"guanaco"}, "<s>", "</s>", guanacoSource},
		{[]string{"alpaca"}, "<s>", "</s>", alpacaSource},
	}
}

// Builtins are the names that Builtin takes, one for each template, sorted.
func Builtins() []string {
	var out []string
	for _, b := range builtins() {
		out = append(out, b.names[0])
	}
	sort.Strings(out)
	return out
}

// Builtin is a template that comes with the package: zephyr (tinyllama), llama-2,
// llama-3, chatml, qwen2.5, qwen2.5-math, phi, phi-3, mistral, guanaco and alpaca. Its
// BOS and EOS are those of the family; With puts in those of the tokenizer in use.
func Builtin(name string) (*Template, error) {
	for _, b := range builtins() {
		for _, n := range b.names {
			if strings.EqualFold(n, name) {
				return Parse(b.source, Options{Name: b.names[0], BOS: b.bos, EOS: b.eos})
			}
		}
	}
	return nil, fmt.Errorf("chat: no built-in template %q; there are %s", name, strings.Join(Builtins(), ", "))
}
