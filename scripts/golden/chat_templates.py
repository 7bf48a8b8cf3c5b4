"""Renders templates with transformers and Jinja2, for the tests of ftlib/chat.

Reads one JSON object from standard input and writes one to standard output:

    {"now": "2026-11-23T12:30:00",
     "expressions": [{"source": "...", "vars": {...}}, ...],
     "chats": [{"source": "...", "tokens": {"bos_token": "<s>"}, "messages": [...],
                "prompt": false, "tools": null}, ...],
     "encodings": [{"tokenizer": DIR, "source": null, "messages": [...]}, ...]}

    {"env": {"transformers": "...", "jinja2": "..."},
     "expressions": [{"text": "..."} or {"error": "TypeError", "message": "..."}],
     "chats": [{"text": "...", "generation": [[from, to], ...]} or {"error": ...}],
     "encodings": [{"ids": [...], "mask": [...]} or {"error": ...}]}

Generation ranges count characters. The tests run it when FTLAB_PYTHON names a Python
that has transformers; with -update they record its answers:

    FTLAB_PYTHON=venv/bin/python go test ./ftlib/chat/... -update
"""

import datetime
import json
import sys

import jinja2
import transformers
from transformers.utils import chat_template_utils as ctu


def fixed_clock(now):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.fromisoformat(now)

    ctu.datetime = Clock


def guarded(work):
    try:
        return work()
    except Exception as e:  # every error of a template is an answer
        return {"error": type(e).__name__, "message": str(e)}


def expression(job):
    return {"text": ctu._compile_jinja_template(job["source"]).render(**job["vars"])}


def chat(job):
    # apply_chat_template drops keys without a value before it renders.
    messages = [{k: v for k, v in m.items() if v is not None} for m in job["messages"]]
    texts, ranges = ctu.render_jinja_template(
        conversations=[messages],
        tools=job.get("tools"),
        chat_template=job["source"],
        return_assistant_tokens_mask=True,
        add_generation_prompt=job["prompt"],
        **job["tokens"],
    )
    return {"text": texts[0], "generation": [list(r) for r in ranges[0]]}


TOKENIZERS = {}


def encoding(job):
    path = job["tokenizer"]
    if path not in TOKENIZERS:
        # The file as it stands. AutoTokenizer rebuilds the pre-tokenizer of the Llama class
        # and then differs from tokenizer.json behind special tokens.
        TOKENIZERS[path] = transformers.PreTrainedTokenizerFast.from_pretrained(path)
    out = TOKENIZERS[path].apply_chat_template(
        job["messages"],
        chat_template=job.get("source"),
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return {"ids": out["input_ids"], "mask": out["assistant_masks"]}


def main():
    request = json.load(sys.stdin)
    fixed_clock(request["now"])
    ctu.logger.setLevel("ERROR")
    json.dump(
        {
            "env": {"transformers": transformers.__version__, "jinja2": jinja2.__version__},
            "expressions": [guarded(lambda: expression(j)) for j in request.get("expressions") or []],
            "chats": [guarded(lambda: chat(j)) for j in request.get("chats") or []],
            "encodings": [guarded(lambda: encoding(j)) for j in request.get("encodings") or []],
        },
        sys.stdout,
        ensure_ascii=False,
    )


main()
