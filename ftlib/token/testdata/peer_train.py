"""Trains with the tokenizers package, for comparison.

usage: peer_train.py OPTIONS_JSON < texts.jsonl > tokenizer.json

Options are vocab_size, special_tokens, split_digits, min_frequency.
"""

import json
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

opt = json.loads(sys.argv[1])
texts = [json.loads(line) for line in sys.stdin]
tok = Tokenizer(models.BPE())
byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
if opt["split_digits"]:
    byte_level = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
tok.pre_tokenizer = byte_level
tok.decoder = decoders.ByteLevel()
tok.train_from_iterator(
    texts,
    trainers.BpeTrainer(
        vocab_size=opt["vocab_size"],
        special_tokens=opt["special_tokens"],
        min_frequency=opt["min_frequency"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    ),
)
print(tok.to_str())
