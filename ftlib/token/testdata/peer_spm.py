"""Trains a SentencePiece model: peer_spm.py MODEL_PREFIX OPTIONS_JSON < texts.jsonl"""

import json
import sys

import sentencepiece

# Few kinds of characters, so that others are unknown to the model.
texts = ["".join(c for c in json.loads(line) if 0 < ord(c) < 0x180 or c in "\u0301’ſ你好▁") for line in sys.stdin]
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(t for t in texts if t),
    model_prefix=sys.argv[1],
    model_type="bpe",
    minloglevel=2,
    **json.loads(sys.argv[2]),
)
