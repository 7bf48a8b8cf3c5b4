"""Loads a directory with transformers and answers with the ids of texts.

usage: peer_load.py DIRECTORY < texts.jsonl > out.jsonl

The first line of the answer is {"bos", "eos", "pad", "unk", "length", "template"};
then follows a list of ids for each text, special tokens included.
"""

import json
import os
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from transformers import AutoTokenizer  # noqa: E402

tok = AutoTokenizer.from_pretrained(sys.argv[1])
print(
    json.dumps(
        {
            "bos": tok.bos_token_id,
            "eos": tok.eos_token_id,
            "pad": tok.pad_token_id,
            "unk": tok.unk_token_id,
            "length": len(tok),
            "template": tok.chat_template,
        }
    )
)
for line in sys.stdin:
    print(json.dumps(tok(json.loads(line))["input_ids"]))
