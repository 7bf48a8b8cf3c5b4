"""Parameters of notebooks in Go: what papermill needs to know of the language.

papermill has a translator for each language and no way to announce another one, but it
loads every engine that is installed when it starts. This module is installed as an
engine (scripts/lib.sh, parameters), and registers the translator when it is loaded:

    papermill notebook.ipynb out.ipynb -p steps 20 -p rate 1e-3

The notebook's cell with the tag "parameters" declares the defaults, as variables:

    var steps, rate = 60, 5e-3

and the injected cell declares them again, which the kernel takes in their place. A
number with a dot or an exponent is a float64, one without an int; lists and maps of one
type have that type, all others are of any.
"""

import json
import math
import re

from papermill.engines import NBClientEngine
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators


class GoTranslator(Translator):
    """Python values as Go source."""

    @classmethod
    def translate_escaped_str(cls, str_val):
        # JSON's escapes are Go's, but for half of a pair of surrogates, which is no text.
        text = str(str_val).encode("utf-8", "replace").decode()
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")

    @classmethod
    def translate_none(cls, val):
        return "any(nil)"

    @classmethod
    def translate_int(cls, val):
        return str(val) if -(2**63) <= val < 2**63 else f"float64({val})"

    @classmethod
    def translate_float(cls, val):
        if math.isnan(val):
            return "func() float64 { zero := 0.0; return zero / zero }()"
        if math.isinf(val):
            return f"func() float64 {{ zero := 0.0; return {'-' if val < 0 else ''}1 / zero }}()"
        return repr(float(val))

    @classmethod
    def kind(cls, values):
        """The Go type that all values have."""
        kinds = {bool: "bool", int: "int", float: "float64", str: "string"}
        found = {kinds.get(type(v), "any") for v in values}
        if found == {"int", "float64"}:
            return "float64"
        return found.pop() if len(found) == 1 else "any"

    @classmethod
    def translate_list(cls, val):
        return f"[]{cls.kind(val)}{{{', '.join(cls.translate(v) for v in val)}}}"

    @classmethod
    def translate_dict(cls, val):
        pairs = ", ".join(f"{cls.translate_str(str(k))}: {cls.translate(v)}" for k, v in val.items())
        return f"map[string]{cls.kind(val.values())}{{{pairs}}}"

    @classmethod
    def comment(cls, cmt_str):
        return f"// {cmt_str}".strip()

    @classmethod
    def assign(cls, name, str_val):
        return f"var {name} = {str_val}"

    @classmethod
    def inspect(cls, parameters_cell):
        """The variables of `var a = 1` and of `var a, b = 1, 2`, for --help-notebook."""
        found = []
        for line in parameters_cell.source.splitlines():
            line, _, note = line.partition("//")
            m = re.match(r"\s*(?:var\s+)?(\w+(?:\s*,\s*\w+)*)\s*([\w.\[\]]*)\s*:?=\s*(.+?)\s*$", line)
            if not m:
                continue
            names = [n.strip() for n in m[1].split(",")]
            values = [v.strip() for v in m[3].split(",")] if len(names) > 1 else [m[3]]
            if len(names) == len(values):
                found += [Parameter(n, m[2] or "None", v, note.strip()) for n, v in zip(names, values)]
        return found


papermill_translators.register("go", GoTranslator)


class Engine(NBClientEngine):
    """papermill's own engine, under FTLab's name."""
