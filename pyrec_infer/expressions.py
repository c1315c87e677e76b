"""A small language for scores: arithmetic over outputs and inputs, checked and bounded.

The text is read by Python's parser and never run; what is not on the list here is refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias

import numpy as np

from pyrec_infer.errors import DTypeError, InputError
from pyrec_infer.interrupts import let_interrupts_pass

_MAX_LENGTH = 1000
_MAX_DEPTH = 64
_MAX_TERMS = 200

_FORBIDDEN = re.compile(r"[\\\n\r\t#]|[^ -~\w]")
"""What no expression needs, and what Python's parser would warn of or read as more than one line."""


@dataclass(frozen=True, slots=True)
class Number:
    """A constant that float32 holds."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """An output, an input of the model or a further input, or a column of it; ``at`` is its place."""

    name: str
    column: int | None
    at: int


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator of `OPERATORS` and what it is applied to."""

    operator: str
    operands: tuple[Term, ...]


Term: TypeAlias = "Number | Name | Apply"


def _minimum(*values: Any) -> Any:
    return np.minimum.reduce(np.broadcast_arrays(*values))


def _maximum(*values: Any) -> Any:
    return np.maximum.reduce(np.broadcast_arrays(*values))


OPERATORS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "+": (np.add, 2, 2),
    "-": (np.subtract, 2, 2),
    "*": (np.multiply, 2, 2),
    "/": (np.divide, 2, 2),
    "**": (np.power, 2, 2),
    "negative": (np.negative, 1, 1),
    "<": (np.less, 2, 2),
    "<=": (np.less_equal, 2, 2),
    ">": (np.greater, 2, 2),
    ">=": (np.greater_equal, 2, 2),
    "==": (np.equal, 2, 2),
    "min": (_minimum, 2, 8),
    "max": (_maximum, 2, 8),
    "log": (np.log, 1, 1),
    "log1p": (np.log1p, 1, 1),
    "exp": (np.exp, 1, 1),
    "sqrt": (np.sqrt, 1, 1),
    "abs": (np.abs, 1, 1),
    "clip": (np.clip, 3, 3),
    "where": (np.where, 3, 3),
}
"""What each operator means in NumPy, and how many operands it takes, at least and at most."""

COMPARISONS = frozenset({"<", "<=", ">", ">=", "=="})
"""Give a truth value, which only ``where`` takes, as its first operand."""

_CALLS = frozenset({"min", "max", "log", "log1p", "exp", "sqrt", "abs", "clip", "where"})

_SYMBOLS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
}


class _Reader:
    """Turns Python's tree into terms."""

    def __init__(self) -> None:
        self.terms = 0

    def fail(self, node: ast.AST, problem: str) -> NoReturn:
        raise InputError(f"by: {problem} (character {getattr(node, 'col_offset', 0) + 1})")

    def read(self, node: ast.expr, depth: int = 0, truth: bool = False) -> Term:
        self.terms += 1
        if depth > _MAX_DEPTH or self.terms > _MAX_TERMS:
            self.fail(node, f"expected at most {_MAX_TERMS} terms, {_MAX_DEPTH} deep")
        if isinstance(node, ast.Compare) is not truth:
            self.fail(node, "a comparison stands in `where` and nowhere else, as its first operand")
        if isinstance(node, ast.Constant):
            return self.constant(node)
        if isinstance(node, ast.Name):
            return Name(node.id, None, node.col_offset + 1)
        if isinstance(node, ast.Subscript):
            return self.column(node)
        operator, operands = self.parts(node)
        made = tuple(
            self.read(operand, depth + 1, operator == "where" and place == 0)
            for place, operand in enumerate(operands)
        )
        return self.folded(node, Apply(operator, made))

    def constant(self, node: ast.Constant) -> Term:
        if isinstance(node.value, str):
            return Name(node.value, None, node.col_offset + 1)
        if type(node.value) not in (int, float):
            self.fail(node, "expected a number")
        return Number(self.number(node, node.value))

    def number(self, node: ast.AST, value: Any) -> float:
        # An int of a thousand digits is none that float takes.
        fits = value == value and abs(value) <= float(np.finfo(np.float32).max)
        if not fits:
            self.fail(node, "expected a number that float32 holds")
        return float(value)

    def column(self, node: ast.Subscript) -> Name:
        of, at = node.value, node.slice
        sign = 1
        if isinstance(at, ast.UnaryOp) and isinstance(at.op, ast.USub):
            sign, at = -1, at.operand
        named = isinstance(of, ast.Name) or (isinstance(of, ast.Constant) and isinstance(of.value, str))
        if not named or not isinstance(at, ast.Constant) or type(at.value) is not int or at.value >= 2**31:
            self.fail(node, "expected a column as in `probabilities[1]`")
        name = of.id if isinstance(of, ast.Name) else of.value  # type: ignore[attr-defined]
        return Name(name, sign * at.value, node.col_offset + 1)

    def parts(self, node: ast.expr) -> tuple[str, list[ast.expr]]:
        """The operator of a node and its operands."""
        if isinstance(node, ast.BinOp) and type(node.op) in _SYMBOLS:
            return _SYMBOLS[type(node.op)], [node.left, node.right]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return "negative", [node.operand]
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _SYMBOLS:
            return _SYMBOLS[type(node.ops[0])], [node.left, node.comparators[0]]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            name = node.func.id
            if name not in _CALLS:
                self.fail(node, f"there is no function '{name}', expected {', '.join(sorted(_CALLS))}")
            _, least, most = OPERATORS[name]
            if not least <= len(node.args) <= most:
                expected = str(least) if least == most else f"{least} to {most}"
                self.fail(node, f"`{name}` takes {expected} operands, got {len(node.args)}")
            return name, node.args
        return self.fail(node, "expected numbers, names, + - * / **, ( ) and functions")

    def folded(self, node: ast.AST, term: Apply) -> Term:
        """The number, where all operands are numbers, worked out in float64."""
        values = [operand.value for operand in term.operands if isinstance(operand, Number)]
        if len(values) != len(term.operands) or term.operator in COMPARISONS:
            return term
        with np.errstate(all="ignore"):
            return Number(self.number(node, float(OPERATORS[term.operator][0](*map(np.float64, values)))))


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression; made by `parse`."""

    text: str
    root: Term

    def names(self) -> Iterator[Name]:
        """Every name in it, as often as it stands there."""
        pending: list[Term] = [self.root]
        while pending:
            term = pending.pop()
            if isinstance(term, Name):
                yield term
            elif isinstance(term, Apply):
                pending.extend(reversed(term.operands))


@lru_cache(maxsize=256)
def _parse(text: str) -> Expression:
    if len(text) > _MAX_LENGTH:
        raise InputError(f"by: expected at most {_MAX_LENGTH} characters, got {len(text)}")
    wrong = _FORBIDDEN.search(text)
    if wrong is not None:
        raise InputError(f"by: expected numbers, names and operators (character {wrong.start() + 1})")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise InputError(f"by: not an expression (character {error.offset or 1})") from None
    except (ValueError, MemoryError, RecursionError) as error:
        let_interrupts_pass(error)
        raise InputError("by: not an expression that can be read") from None
    expression = Expression(text, _Reader().read(tree.body))
    if isinstance(expression.root, Number):
        raise InputError("by: expected at least one output or input, got a number")
    return expression


def parse(text: object) -> Expression:
    """Read an expression such as ``"ctr * cvr ** 0.5 * price"``.

    Parameters
    ----------
    text : str
        Numbers; names of outputs and inputs, in quotes where they are no Python names; columns as in
        ``probabilities[1]``; ``+ - * / **``, unary minus and parentheses; ``min``, ``max``, ``log``,
        ``log1p``, ``exp``, ``sqrt``, ``abs``, ``clip(x, low, high)`` and ``where(a < b, x, y)`` with one of
        ``< <= > >= ==``. As in Python, ``**`` binds to the right and before a minus in front.

    Returns
    -------
    Expression
        Its value is NumPy's on float32 arrays.

    Raises
    ------
    InputError
        If it holds anything else, is longer than 1,000 characters or deeper than 64; names the place.
        `DTypeError` if it is no text.

    Examples
    --------
    >>> [name.name for name in parse("ctr * cvr ** 0.5 * price").names()]
    ['ctr', 'cvr', 'price']
    >>> parse("ctr.mean()")
    Traceback (most recent call last):
    pyrec_infer.errors.InputError: by: expected numbers, names, + - * / **, ( ) and functions (character 1)
    """
    if not isinstance(text, str):
        raise DTypeError(f"by: expected an expression as text, got {type(text).__name__}")
    return _parse(text)


__all__ = ["COMPARISONS", "OPERATORS", "Apply", "Expression", "Name", "Number", "Term", "parse"]
