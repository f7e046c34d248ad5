"""Parameters as Rust that calls `corriente::inject`. A parameter is data: its name and its value stand in the code as literals of
texts, and the type of the default in the notebook says how the text is read.
"""

import json
import math
import numbers
import re

from papermill.exceptions import PapermillException
from papermill.models import Parameter
from papermill.translators import Translator

# A call of `param` with literals, as in `let threshold = param("threshold", 50.0)?; // above it a payment is large`.
CALL = re.compile(r'\bparam\(\s*"(?P<name>(?:[^"\\]|\\.)*)"\s*,\s*(?P<default>"(?:[^"\\]|\\.)*"|[^()]*?(?:\([^()]*\))?)\s*\)[^/\n]*(?://\s*(?P<help>.*))?')
# What JSON holds exactly, whoever reads it.
EXACT = range(-(2**63), 2**63)


class RustTranslator(Translator):
    """One line of Rust for each parameter."""

    @classmethod
    def codify(cls, parameters, comment="Parameters"):
        lines = [cls.comment(comment), *(cls.assign(name, value) for name, value in parameters.items())]
        return "\n".join(lines) + "\n"

    @classmethod
    def comment(cls, cmt_str):
        return "\n".join(f"// {line}".rstrip() for line in cmt_str.splitlines() or [""])

    @classmethod
    def assign(cls, name, str_val):
        """The line for a parameter."""
        text, is_json = written(str_val)
        function = "inject_json" if is_json else "inject"
        return f"corriente::{function}({literal(name, name)}, {literal(text, name)});"

    @classmethod
    def translate(cls, val):
        """A value as a literal of its text."""
        return literal(written(val)[0], "")

    @classmethod
    def inspect(cls, parameters_cell):
        """The calls of `param` in the cell that is tagged `parameters`."""
        found = CALL.finditer(parameters_cell["source"])
        return [Parameter(call["name"], kind(call["default"]), call["default"], (call["help"] or "").strip()) for call in found]


def written(value):
    """(text, whether it is JSON) of a value from the command line, a YAML file or Python."""
    if value is None or isinstance(value, (dict, list, tuple, set, frozenset)):
        return json.dumps(plain(value), ensure_ascii=False), True
    return word(value), False


def word(value):
    """What is one value, as a person writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return number(float(value))
    return str(value)


def number(value):
    if math.isnan(value):
        return "NaN"
    return repr(value) if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def plain(value):
    """A value of which JSON loses nothing: what it has no number for becomes a text."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, dict):
        return {word(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    if isinstance(value, numbers.Integral):
        return int(value) if int(value) in EXACT else str(int(value))
    if isinstance(value, numbers.Real) and math.isfinite(value):
        return float(value)
    return word(value)


def literal(text, name):
    """A Rust literal of a text. All that a reader could not see, or could see in the wrong place, is escaped."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PapermillException(f"The parameter {ascii(name)} is no Unicode text: {error.reason}.") from error
    return '"' + "".join(letter(character) for character in text) + '"'


def letter(character):
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


def kind(default):
    """The type of a parameter, from its default."""
    if default.startswith('"'):
        return "String"
    if default in ("true", "false"):
        return "bool"
    if re.fullmatch(r"-?[\d_]+(_?i64)?", default):
        return "i64"
    return "f64" if re.fullmatch(r"-?[\d_]+\.?[\d_]*(e-?\d+)?(_?f64)?", default) else "None"
