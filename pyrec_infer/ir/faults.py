"""What is wrong with a node, kept apart from the words that say which node it is."""

from __future__ import annotations

from typing import TypeVar

from pyrec_infer.errors import IdRangeError, PyrecError
from pyrec_infer.ir.graph import Node

Fault = TypeVar("Fault", bound=PyrecError)


def fault(kind: type[Fault], node: Node, rule: str, row: int | None = None) -> Fault:
    """An error about a node, to be raised.

    Parameters
    ----------
    kind : type
    node : Node
        The text begins with its title.
    rule : str
        What is wrong, without the node. Whoever knows what the node reads can put that in front of it:
        see `reworded`.
    row : int, optional
        For an `IdRangeError`, the first row where it is so.

    Examples
    --------
    >>> from pyrec_infer.errors import ModelError
    >>> from pyrec_infer.ir import Node
    >>> str(fault(ModelError, Node("Gather", (), (), name="look up"), "no indices"))
    "node 'look up' (Gather): no indices"
    """
    error = _made(kind, f"{node.title}: {rule}", row)
    error.about, error.rule = node, rule
    return error


def reworded(error: Fault, node: Node, label: str, row: int | None = None) -> Fault:
    """The error of an operator with a label, such as the model's input that it reads, in place of the node.

    Parameters
    ----------
    error : PyrecError
    node : Node
        The operator. What is said about another node, inside a body, is kept whole.
    label : str
        Put in front; empty if the error says what it is about.
    row : int, optional
        That of the call, where the error has the row of a part of it.
    """
    if row is None and isinstance(error, IdRangeError):
        row = error.row
    text = error.message if isinstance(error, IdRangeError) else str(error)
    if error.about is node and error.rule is not None:
        text = error.rule
    return _made(type(error), f"{label}: {text}" if label else text, row)


def _made(kind: type[Fault], text: str, row: int | None) -> Fault:
    return kind(text, row) if issubclass(kind, IdRangeError) else kind(text)
