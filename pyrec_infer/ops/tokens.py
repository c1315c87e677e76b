"""Operators that cut strings into pieces, or look for regular expressions in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.errors import DTypeError, ModelError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import STRING, Array, Info, Node, fault, holds_strings
from pyrec_infer.limits import current_budget
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowFlow, couples, required
from pyrec_infer.ops.core.shapes import fresh
from pyrec_infer.ops.core.texts import TEXT_BYTES
from pyrec_infer.ops.patterns import Pattern, parse

Infos = Sequence[Info | None]
Arrays = Sequence[Array | None]
Find: TypeAlias = Callable[[str, int], "tuple[int, int] | None"]
"""The first match from a place on, and of those there the longest."""


def _expression(node: Node, text: str) -> Pattern | re.Pattern[str]:
    found = parse(text)
    if found is not None:
        return found
    try:
        return re.compile(text, re.ASCII)
    except re.error as error:
        raise fault(ModelError, node, f"bad pattern: {error}") from None


def _find(expression: Pattern | re.Pattern[str]) -> Find:
    def of_places(text: str, begin: int) -> tuple[int, int] | None:
        assert isinstance(expression, Pattern)
        letters = list(map(ord, text))
        for at in range(begin, len(letters) + 1):
            end = expression.longest(letters, at)
            if end >= 0:
                return at, end
        return None

    def of_python(text: str, begin: int) -> tuple[int, int] | None:
        assert not isinstance(expression, Pattern)
        match = expression.search(text, begin)
        if match is None:
            return None
        ends = range(len(text), match.end(), -1) if alike else ()
        longer = (end for end in ends if expression.fullmatch(text, match.start(), end) is not None)
        return match.start(), next(longer, match.end())

    # An end that is put in would be one to expressions that look around.
    alike = not re.search(r"\$|\\[bBZ]|\(\?[=!<]", getattr(expression, "pattern", ""))

    return of_places if isinstance(expression, Pattern) else of_python


class Tokens:
    """How a node cuts a text into tokens.

    Raises
    ------
    ModelError
        If it has both a pattern of tokens and separators, or neither; a separator that is nothing; or no
        length of tokens that can be.
    """

    def __init__(self, node: Node) -> None:
        expression = str(node.attribute("tokenexp", ""))
        separators = [str(item) for item in node.attribute("separators", ())]
        self.shortest = int(node.attribute("mincharnum", 1))
        self.by_letter = expression == "." or separators == [""]
        if bool(expression) == bool(separators):
            raise fault(ModelError, node, "expected either tokenexp or separators")
        if self.shortest < 1 or (self.by_letter and self.shortest > 1):
            raise fault(ModelError, node, f"mincharnum {self.shortest} is no length of its tokens")
        self.separated = bool(separators)
        texts = [] if self.by_letter else separators or [expression]
        self.expressions = [_expression(node, text) for text in texts]
        if self.separated and any(map(_is_empty, self.expressions)):
            raise fault(ModelError, node, "a separator that is nothing")

    def of(self, text: str) -> list[str]:
        if self.by_letter:
            return list(text)
        if not self.separated:
            return self._matches(text, _find(self.expressions[0]))
        pieces = [text]
        for expression in self.expressions:
            find = _find(expression)
            pieces = [part for piece in pieces for part in self._between(piece, find)]
        return pieces

    def _between(self, text: str, find: Find) -> list[str]:
        """Where nothing is matched, a letter is passed over."""
        found, begin = [], 0
        while begin <= len(text) and (span := find(text, begin)) is not None:
            found.append(text[begin : span[0]])
            begin = max(span[1], span[0] + 1)
        return [part for part in (*found, text[begin:]) if len(part) >= self.shortest]

    def _matches(self, text: str, find: Find) -> list[str]:
        """Where a match is too short, the next may begin inside of it."""
        found, begin = [], 0
        while begin <= len(text) and (span := find(text, begin)) is not None:
            first, last = span
            if last - first >= self.shortest:
                found.append(text[first:last])
                begin = last
            else:
                begin = first + 1
        return found


def _is_empty(expression: Pattern | re.Pattern[str]) -> bool:
    if isinstance(expression, Pattern):
        return expression.is_empty
    return expression.fullmatch("") is not None


def _table(parts: list[list[str]], padding: str, shape: tuple[int, ...]) -> Array:
    """Lists of strings along a new last axis."""
    width = max(map(len, parts), default=0)
    current_budget().require(8 * len(parts) * width)
    table = np.full((len(parts), width), padding, object)
    for row, part in zip(table, parts, strict=True):
        row[: len(part)] = part
    return table.reshape(*shape, width)


def _string_split(node: Node, inputs: Arrays) -> list[Array]:
    x = required(node, inputs, 0)
    if not holds_strings(x):
        raise fault(DTypeError, node, f"takes strings, got {x.dtype}")
    delimiter = str(node.attribute("delimiter", "")) or None
    limit = node.attribute("maxsplit")
    items, most = x.reshape(-1).tolist(), -1 if limit is None else limit
    pieces = sum((item.count(delimiter) if delimiter else len(item) // 2) + 1 for item in items)
    current_budget().require(TEXT_BYTES * pieces + sum(map(len, items)))
    parts = [item.split(delimiter, most) for item in items]
    return [_table(parts, "", x.shape), np.asarray([len(part) for part in parts], np.int64).reshape(x.shape)][
        : len(node.outputs)
    ]


def _infer_string_split(node: Node, inputs: Infos) -> list[Info]:
    shape = required(node, inputs, 0).shape
    longer = None if shape is None else (*shape, fresh(node, 0, len(shape)))
    return [Info(STRING, longer), Info(np.dtype(np.int64), shape)][: len(node.outputs)]


def _texts(node: Node, inputs: Arrays) -> tuple[Array, list[str]]:
    x = required(node, inputs, 0)
    if not holds_strings(x):
        raise fault(DTypeError, node, f"takes strings, got {x.dtype}")
    items: list[str] = x.reshape(-1).tolist()
    for place, item in enumerate(items):
        try:
            item.encode()
        except UnicodeEncodeError as error:
            let_interrupts_pass(error)
            row = f" (row {np.unravel_index(place, x.shape)[0]})" if x.ndim else ""
            raise fault(DTypeError, node, f"expected strings in UTF-8{row}") from None
    return x, items


def tokens_of(node: Node, x: Array) -> list[list[str]]:
    """The tokens of each text."""
    tokens, budget = Tokens(node), current_budget()
    parts = []
    for item in _texts(node, [x])[1]:
        budget.take(TEXT_BYTES + len(item))
        parts.append(tokens.of(item))
        budget.take(TEXT_BYTES * len(parts[-1]))
    return parts


def _tokenizer(node: Node, inputs: Arrays) -> list[Array]:
    x = required(node, inputs, 0)
    parts = tokens_of(node, x)
    if node.attribute("mark", 0) and any(parts):
        parts = [["\x02", *part, "\x03"] for part in parts]
    return [_table(parts, str(node.attribute("pad_value", "#")), x.shape)]


def _infer_tokenizer(node: Node, inputs: Infos) -> list[Info]:
    shape = required(node, inputs, 0).shape
    return [Info(STRING, None if shape is None else (*shape, fresh(node, 0, len(shape))))]


def _token_rows(node: Node, inputs: Infos, outputs: Sequence[Info]) -> RowFlow:
    """The rows stay where they are, but all are filled up to the longest."""
    flow = rows.per_row(node, inputs, outputs)
    return (
        replace(flow, coupled=True)
        if any(axis >= 0 for axis in flow.rows)
        else couples(node, inputs, outputs)
    )


def _regex_full_match(node: Node, inputs: Arrays) -> list[Array]:
    expression = _expression(node, str(node.attribute("pattern", "")))
    x, items = _texts(node, inputs)
    if isinstance(expression, Pattern):
        found = [expression.longest(list(map(ord, item)), 0) == len(item) for item in items]
    else:
        found = [expression.fullmatch(item) is not None for item in items]
    return [np.asarray(found, np.bool_).reshape(x.shape)]


def _infer_regex_full_match(node: Node, inputs: Infos) -> list[Info]:
    return [Info(np.dtype(np.bool_), required(node, inputs, 0).shape)]


def pattern_attributes(node: Node) -> Mapping[str, Any]:
    """What C++ has to know of the expressions that a node looks for; nothing for other nodes."""
    if node.op == "RegexFullMatch":
        expressions = [_expression(node, str(node.attribute("pattern", "")))]
    elif node.op in ("com.microsoft.Tokenizer", "pyrec.TokenCounts"):
        expressions = Tokens(node).expressions
    else:
        return {}
    known = [item for item in expressions if isinstance(item, Pattern)]
    if len(known) < len(expressions):
        return {"in_python": 1}
    return {"patterns": tuple(number for item in known for number in item.numbers())}


OPS: tuple[Op, ...] = (
    Op("StringSplit", _infer_string_split, _string_split),
    Op("com.microsoft.Tokenizer", _infer_tokenizer, _tokenizer, _token_rows),
    Op("RegexFullMatch", _infer_regex_full_match, _regex_full_match, rows.per_row),
)
