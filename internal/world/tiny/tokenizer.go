package tiny

// The special tokens, first in the vocabulary.
const (
	BOS, EOS, PAD = 0, 1, 2

	bosText, eosText, padText = "<s>", "</s>", "<pad>"
)

// ChatTemplate is how conversations are written for the model. It is the form of
// the Guanaco data ("### Human:", "### Assistant:"), for three reasons: it is
// plain text, so that one sees in every row what the model sees; the answer begins
// with a space, as words do in the pretraining text, so that the model knows its
// tokens; and none of it was pretrained on, so that fine-tuning has something to
// show. The end-of-text token closes every answer, and is learnt with it.
const ChatTemplate = `{{ bos_token }}{% for message in messages %}` +
	`{% if message['role'] == 'system' %}### System: {{ message['content'] | trim }}{{ '\n' }}` +
	`{% elif message['role'] == 'user' %}### Human: {{ message['content'] | trim }}{{ '\n' }}` +
	`{% elif message['role'] == 'assistant' %}### Assistant:{% generation %} {{ message['content'] | trim }}{{ eos_token }}{% endgeneration %}{{ '\n' }}` +
	`{% else %}{{ raise_exception('ft-tiny knows the roles system, user and assistant') }}` +
	`{% endif %}{% endfor %}{% if add_generation_prompt %}### Assistant:{% endif %}`
