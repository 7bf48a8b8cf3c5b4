"""Encodes and decodes with the tokenizers package, for comparison.

usage: peer.py TOKENIZER_JSON|MODEL < cases.jsonl > out.jsonl

A case is {"text": S} or {"ids": [...]}; its answer {"ids", "special", "offsets"
(characters), "decoded", "plain"} or {"decoded", "plain"}; plain is without special
tokens. With a .model file SentencePiece answers, with ids and decoded only. With -
for a tokenizer, a case is {"text": S, "pattern": P} and its answer {"offsets"}, the
parts (in characters) into which the pattern cuts the text.
"""

import json
import sys


def fast(path):
    from tokenizers import Tokenizer

    tok = Tokenizer.from_file(path)
    tok.no_truncation()
    tok.no_padding()

    def answer(case):
        if "text" in case:
            e = tok.encode(case["text"], add_special_tokens=False)
            special = tok.encode(case["text"]).ids
            out = {"ids": e.ids, "special": special, "offsets": e.offsets}
            case = {"ids": special}
        else:
            out = {}
        out["decoded"] = tok.decode(case["ids"], skip_special_tokens=False)
        out["plain"] = tok.decode(case["ids"], skip_special_tokens=True)
        return out

    return answer


def piece(path):
    import sentencepiece

    sp = sentencepiece.SentencePieceProcessor(model_file=path)

    def answer(case):
        if "text" in case:
            ids = sp.encode(case["text"])
            return {"ids": ids, "decoded": sp.decode(ids)}
        return {"decoded": sp.decode(case["ids"])}

    return answer


def cut(_):
    from tokenizers import Regex, pre_tokenizers

    made = {}

    def answer(case):
        p = case["pattern"]
        if p not in made:
            made[p] = pre_tokenizers.Split(Regex(p), "isolated")
        return {"offsets": [o for _, o in made[p].pre_tokenize_str(case["text"])]}

    return answer


def main():
    path = sys.argv[1]
    answer = (cut if path == "-" else piece if path.endswith(".model") else fast)(path)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))))


main()
