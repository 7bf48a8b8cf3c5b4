// Package token turns text into the numbers that a language model reads, and back,
// with exactly the ids that the model was trained with.
//
// # What a tokenizer does
//
// A model has an embedding for each of some thousand tokens: bytes, letters, syllables,
// words. [Load] reads the tokenizer that lies beside a model's weights, and
// [Tokenizer.Encode] takes a text through its stages:
//
//	"Hello  wörld</s>"
//	  added tokens     "Hello  wörld" | </s>          found in the text as it is
//	  normalizer       "▁Hello▁▁wörld"                Unicode forms, spaces, lower case
//	  pre-tokenizer    "▁Hello" "▁" "▁wörld"          words, digits, punctuation
//	  model            ▁Hello ▁ ▁w ör ld              pieces of the vocabulary: the ids
//	  post-processor   <s> ▁Hello ▁ ▁w ör ld </s>     tokens around the text, if wanted
//
// and the decoder of [Tokenizer.Decode] takes ids back. Any stage may be missing; all
// of them are described in the model's tokenizer.json. Two families matter most:
//
//   - SentencePiece style (Llama, TinyLlama, Mistral): a space is written as ▁ and
//     belongs to the word behind it; one more is put before the text. A character
//     that is in no token becomes its bytes, tokens like <0xE4>.
//   - byte-level style (GPT-2, Phi, Qwen, Llama 3): the text is cut into words by a
//     regular expression, and words are sequences of bytes; " the" is written as Ġthe
//     in the vocabulary, which shows each byte as some visible character.
//
// Both then use byte-pair encoding: start from single characters (or bytes) and join,
// over and over, the two neighbours whose join was learned earliest. Training found
// these joins by counting: the most frequent pair of neighbours in a corpus is joined
// to a new token, again and again, until the vocabulary is full. [Train] does that.
// A frequent word ends up as one token, a rare one as several, and no text is ever
// unknown.
//
// # What can go wrong, and is taken care of
//
// A model that gets other ids than in its training is a worse model, and nothing
// tells. The ids, the offsets and the decoded text of this package are equal to those
// of the tokenizers library (0.23), with its very edition of Unicode, and for
// tokenizer.model to those of SentencePiece (0.2); tests compare them on recorded and,
// where Python is at hand, on thousands of fresh random texts. Three things are worth
// knowing:
//
//   - Special tokens written out in a text ("</s>" typed by a user) are recognised,
//     as in transformers. Encode's second argument is only about tokens that are
//     added, such as a BOS. A chat template that writes <s> itself wants false there:
//     otherwise the model sees it twice.
//   - A token is not always whole characters. One emoji may be four tokens, and
//     decoding these one by one gives rubbish: [Tokenizer.NewStream] holds text back
//     until it is certain.
//   - A prefix of a text does not always have a prefix of its ids. Masks are therefore
//     made from offsets ([Tokenizer.EncodeOffsets]) of the whole text.
//
// # What is read
//
// tokenizer.json with models BPE, Unigram, WordPiece and WordLevel and all normalizers
// but Precompiled, all pre-tokenizers but UnicodeScripts, all post-processors and all
// decoders but CTC; anything else is an error that names it. Its truncation and padding are
// passed over, with a note in [Config]. tokenizer.model of type BPE with every
// normalization and kind of piece. tokenizer_config.json, special_tokens_map.json,
// generation_config.json and config.json for the names of special tokens, and the chat
// template, which package chat renders.
package token
