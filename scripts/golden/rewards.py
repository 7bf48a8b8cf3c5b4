"""Records what TRL's reward helpers give, for the tests of ftlib/reward.

    python scripts/golden/rewards.py > ftlib/reward/testdata/trl_rewards.json

Needs trl 1.16 and, for the cases with answers, math-verify. Each case holds its input,
the options and TRL's rewards; null is None.
"""

import json
import random
import sys

import trl
from trl.rewards import (
    accuracy_reward,
    get_cosine_scaled_reward,
    get_repetition_penalty_reward,
    get_soft_overlong_punishment,
    reasoning_accuracy_reward,
    think_format_reward,
)

rng = random.Random(20)


def messages(texts):
    return [[{"role": "assistant", "content": t}] for t in texts]


def ids(n, vocabulary):
    return [rng.randrange(vocabulary) for _ in range(n)]


answers = [  # gold, completion
    (r"\frac{1}{3}", r"My answer is \boxed{\frac{1}{3}}"),
    (r"\frac{1}{3}", r"My answer is \boxed{\frac{1}{2}}"),
    (r"$72$", r"so \boxed{72}"),
    (r"$72$", r"so \boxed{71}"),
    (r"$\frac{1}{2}$", r"\boxed{0.5}"),
    (r"$0.5$", r"\boxed{\frac{1}{2}}"),
    (r"$2\sqrt{2}$", r"\boxed{\sqrt{8}}"),
    (r"$x^2+2x+1$", r"\boxed{(x+1)^2}"),
    (r"$x^2+2x+1$", r"\boxed{(x+1)^3}"),
    (r"$(1,2)$", r"\boxed{(1, 2)}"),
    (r"$(1,2)$", r"\boxed{(2, 1)}"),
    (r"$[0,1)$", r"\boxed{[0,1)}"),
    (r"$[0,1)$", r"\boxed{[0,1]}"),
    (r"$\{1,2,3\}$", r"\boxed{\{3,2,1\}}"),
    (r"$1000$", r"\boxed{1,000}"),
    (r"$1000$", r"\boxed{1{,}000}"),
    (r"$28\%$", r"\boxed{28\%}"),
    (r"$28\%$", r"\boxed{28}"),
    (r"$5$", r"\boxed{5\text{ cm}}"),
    (r"$5$", r"\boxed{x=5}"),
    (r"$(-\infty,2)\cup(3,\infty)$", r"\boxed{(-\infty,2)\cup(3,\infty)}"),
    (r"$\frac{\pi}{2}$", r"\boxed{\frac{1}{2}\pi}"),
    (r"$90^\circ$", r"\boxed{90^{\circ}}"),
    (r"$\begin{pmatrix}1&2\\3&4\end{pmatrix}$", r"\boxed{\begin{pmatrix}1&2\\3&4\end{pmatrix}}"),
    (r"$\begin{pmatrix}1&2\\3&4\end{pmatrix}$", r"\boxed{\begin{pmatrix}1&2\\3&5\end{pmatrix}}"),
    (r"$1+2i$", r"\boxed{2i+1}"),
    (r"$x>3$", r"\boxed{(3,\infty)}"),
    (r"$3\frac{1}{2}$", r"\boxed{3.5}"),
    (r"$2^{10}$", r"\boxed{1024}"),
    (r"$-\frac{3}{4}$", r"\boxed{\frac{-3}{4}}"),
    (r"$72$", r"I do not know"),
    (r"$72$", r""),
]
golds, completions = [a for a, _ in answers], [c for _, c in answers]
lengths = [ids(rng.randrange(0, 150), 50) for _ in answers]

thoughts = [
    "<think>\nThis is my reasoning.\n</think>\nThis is my answer.",
    "<think>\nThis is my reasoning.\nThis is my answer.",
    "<think>a</think>",
    "<think></think>x",
    " <think>a</think>b",
    "a<think>a</think>b",
    "<think>a<think>b</think>c",
    "<think>a</think>b<think>c</think>",
    "<think>a</think></think>",
    "</think><think>",
    "<think>a\n</think>\n\nb\n",
    "<THINK>a</THINK>b",
    "",
    "x\n<think>a</think>b",
]

reasoned = [
    ("<think>\\boxed{1}</think> so \\boxed{\\frac{1}{3}}", r"\frac{1}{3}"),
    ("<think>r</think> so \\boxed{\\frac{1}{2}}", r"\frac{1}{3}"),
    ("<think>\\boxed{\\frac{1}{3}} and no end", r"\frac{1}{3}"),
    ("<think>\\boxed{\\frac{1}{3}}</think> nothing", r"\frac{1}{3}"),
    ("a</think>\\boxed{2}</think>\\boxed{3}", "$3$"),
]

tokens = [ids(rng.randrange(0, 60), v) for v in (2, 3, 5, 20, 1000) for _ in range(6)]
tokens += [[], [1], [1, 1], [1, 1, 1], [7] * 40, list(range(40)), [1, 2, 3] * 10]
overlong = [[1] * n for n in (0, 1, 50, 79, 80, 81, 90, 99, 100, 101, 200)]

json.dump(
    {
        "env": {"trl": trl.__version__},
        "accuracy": {"completions": completions, "answers": golds, "rewards": accuracy_reward(messages(completions), golds)},
        "reasoning": {
            "completions": [c for c, _ in reasoned],
            "answers": [a for _, a in reasoned],
            "rewards": reasoning_accuracy_reward(messages([c for c, _ in reasoned]), [a for _, a in reasoned]),
        },
        "think_format": {"completions": thoughts, "rewards": think_format_reward(messages(thoughts))},
        "cosine": [
            {
                "options": o,
                "completions": completions,
                "answers": golds,
                "ids": lengths,
                "rewards": get_cosine_scaled_reward(**o)(messages(completions), golds, lengths),
            }
            for o in (
                {"max_len": 100},
                {"max_len": 37, "min_value_wrong": -2.0, "max_value_wrong": -0.1, "min_value_correct": 0.2, "max_value_correct": 3.0},
            )
        ],
        "repetition": [
            {"n": n, "max_penalty": p, "ids": tokens, "rewards": get_repetition_penalty_reward(n, p)(tokens)}
            for n, p in ((3, -1.0), (1, -0.5), (2, -2.0), (5, 0.0))
        ],
        "overlong": [
            {"max_len": m, "cache": c, "ids": overlong, "rewards": get_soft_overlong_punishment(m, c)(overlong)}
            for m, c in ((100, 20), (100, 100), (100, 0), (90, 33))
        ],
    },
    sys.stdout,
    separators=(",", ":"),
)
print()
