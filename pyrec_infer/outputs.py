"""Which scores a call asks for: outputs, their columns, several at once, or an expression over them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.expressions import Apply, Expression, Name, Term, parse
from pyrec_infer.ir import Dim, Graph, Info, Node, Rows, same_size
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.select.select_scores import Column, Score, row_axis

Output: TypeAlias = "str | tuple[str, int] | list[str | tuple[str, int]] | None"
"""A name, a (name, column) pair, or a list of these."""

_KEEPS = frozenset({"Cast", "Identity", "ai.onnx.ml.Normalizer"})
_MAX_SCORES = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call asks for, before the model is looked at.

    Attributes
    ----------
    scores : tuple of Column or Expression
    keys : tuple, optional
        Of the dict that the call returns; without it, the call returns the only score's array.
    default : bool
        Whether the model chooses the output of the only score.
    """

    scores: tuple[Score, ...]
    keys: tuple[Hashable, ...] | None = None
    default: bool = False

    def names(self) -> tuple[str, ...]:
        """Every name of an output, an input or a further input, each once."""
        found: dict[str, None] = {}
        for score in self.scores:
            parts = score.names() if isinstance(score, Expression) else ()
            found.update(dict.fromkeys(part.name for part in parts))
            if isinstance(score, Column):
                found[score.output] = None
        return tuple(found)

    def unpack(self, scores: NDArray[np.float32]) -> Any:
        """What the caller gets for the scores that were computed: an array, or a dict of arrays."""
        if self.keys is None:
            return scores
        columns = scores.reshape(len(scores), len(self.keys))
        return {key: np.ascontiguousarray(columns[:, place]) for place, key in enumerate(self.keys)}


def _column(item: Any, outputs: Sequence[str]) -> Column:
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        name, column = item
        if isinstance(column, bool) or not isinstance(column, (int, np.integer)):
            raise DTypeError(f"output '{name}': expected the number of a column, got {type(column).__name__}")
        wanted = Column(name, int(column))
    elif isinstance(item, str):
        wanted = Column(item)
    else:
        raise DTypeError(
            f"output: expected a name, a (name, column) pair or a list of these, got {type(item).__name__}"
        )
    if wanted.output not in outputs:
        raise InputError(
            f"output '{wanted.output}': the model has no such output, expected {', '.join(outputs)}"
        )
    return wanted


def read_output(output: Any, graph: Graph) -> Wanted:
    """What ``output=`` says, with names that the model has.

    Raises
    ------
    InputError
        If there is no such output, or nothing or something twice is asked for; `DTypeError` if it is
        neither a name, a pair nor a list.
    """
    outputs = graph.outputs

    def item(given: Any) -> Column:
        if isinstance(given, str) and given == "logit" and given not in outputs:
            return Column(default_output(graph), None, logit=True)
        return _column(given, outputs)

    if output is None:
        return Wanted((Column(default_output(graph)),), default=True)
    if not isinstance(output, list):
        return Wanted((item(output),))
    if not 1 <= len(output) <= _MAX_SCORES:
        raise InputError(f"output: expected a list of 1 to {_MAX_SCORES} outputs, got {len(output)}")
    scores = tuple(item(given) for given in output)
    if len(set(output)) != len(output):
        raise InputError("output: expected different outputs, got one of them twice")
    return Wanted(scores, tuple(output))


def read_by(by: Any, graph: Graph, further: Iterable[str]) -> Wanted:
    """What ``by=`` says; its names are outputs, the model's inputs or ``further`` ones."""
    expression = parse(by)
    further = set(further)
    known = {*graph.outputs, *graph.inputs, *further}
    for name in expression.names():
        if name.name not in known:
            raise InputError(
                f"by: '{name.name}' is neither an output, an input of the model nor given with the call "
                f"(character {name.at}), expected {', '.join([*graph.outputs, *graph.inputs])}"
            )
    return Wanted((expression,))


def default_output(graph: Graph) -> str:
    """The output that is meant where none is named: the first of floating type that has one score for
    each row; failing that, the first that has rows, or just the first.

    Raises
    ------
    InputError
        If there is none, or what makes several of them does not tell which are scores.
    """
    if not graph.outputs:
        raise InputError("the model has no outputs")
    infos = analyze(graph).infos

    def rank(name: str) -> tuple[bool, bool, bool]:
        info = infos[name]
        floating = info.dtype is None or info.dtype.kind == "f"
        rows = row_axis(info, graph.static_rows) is not None
        single = rows and (_width(info, graph) == 1 or class_count(graph, name) == 2)
        return not floating, not rows, not single

    chosen = min(graph.outputs, key=rank)
    if infos[chosen].dtype is None:
        unknown = [name for name in graph.outputs if infos[name].dtype is None]
        if len(unknown) > 1:
            raise InputError(f"output: expected one by name, nothing tells which is the score of {unknown}")
    return chosen


def _width(info: Info, graph: Graph) -> int | None:
    """How many numbers a row has, if that is known."""
    axis = row_axis(info, graph.static_rows)
    if info.shape is None or axis is None:
        return None
    width = 1
    for place, size in enumerate(info.shape):
        if place != axis:
            if isinstance(size, Dim):
                return None
            width *= size
    return width


def _complements(node: Node, graph: Graph) -> bool:
    """Whether two columns are 1 - p and p."""
    if node.op != "Concat" or len(node.inputs) != 2:
        return False
    first = graph.producers.get(node.inputs[0])
    if first is None or first.op != "Sub":
        return False
    one = graph.constants.get(first.inputs[0])
    return one is not None and bool(np.all(one == 1)) and first.inputs[1] == node.inputs[1]


def _ancestors(graph: Graph, name: str) -> set[str]:
    found, pending = {name}, [name]
    while pending:
        node = graph.producers.get(pending.pop())
        for source in () if node is None else node.inputs:
            if source and source not in found:
                found.add(source)
                pending.append(source)
    return found


def _labelled(graph: Graph, name: str, infos: Mapping[str, Info]) -> bool:
    """Whether another output is the class that is likeliest by what this output is made from."""
    own: set[str] | None = None
    for other in graph.outputs:
        dtype = infos[other].dtype
        if other == name or dtype is None or dtype.kind not in "iuUO":
            continue
        own = _ancestors(graph, name) if own is None else own
        for value in _ancestors(graph, other):
            node = graph.producers.get(value)
            if node is not None and node.op == "ArgMax" and node.inputs[0] in own:
                return True
    return False


def class_count(graph: Graph, name: str) -> int:
    """How many classes an output holds a probability for, a column each; 0 if it is nothing of the kind.

    That is what a classifier of ai.onnx.ml or a softmax makes, 1 - p beside p, and what another output
    gives the likeliest class of.
    """
    infos = analyze(graph).infos
    info = infos[name]
    shape = info.shape
    if shape is None or len(shape) != 2 or not isinstance(shape[1], int) or shape[1] < 2:
        return 0
    if info.dtype is None or info.dtype.kind != "f":
        return 0
    node, value = graph.producers.get(name), name
    for _ in range(16):
        if node is None:
            break
        if (has(node, Trait.CLASSIFIES) and node.outputs[-1] == value) or node.op == "ai.onnx.ml.ZipMap":
            return shape[1]
        if (node.op == "Softmax" and node.attribute("axis", -1) % 2 == 1) or _complements(node, graph):
            return shape[1]
        if node.op not in _KEEPS and not _scales(node, graph):
            break
        value = node.inputs[0] if node.inputs[0] not in graph.constants else node.inputs[1]
        node = graph.producers.get(value)
    return shape[1] if _labelled(graph, name, infos) else 0


def _scales(node: Node, graph: Graph) -> bool:
    """Whether a node multiplies with one number, as exporters do to name a value."""
    factors = [graph.constants[name] for name in node.inputs if name in graph.constants]
    return node.op in ("Mul", "Div") and any(value.size == 1 for value in factors)


def _shown(info: Info) -> str:
    return "unknown" if info.shape is None else f"[{', '.join(map(str, info.shape))}]"


def _resolved(score: Column, graph: Graph, single: bool, by: bool = False) -> Column:
    """The score with its column, checked against what is known of the output."""
    info = analyze(graph).infos[score.output]
    name, shape = score.output, _shown(info)
    if info.dtype is not None and info.dtype.kind not in "fiub":
        raise DTypeError(f"output '{name}': expected numbers, it holds strings")
    if row_axis(info, graph.static_rows) is None:
        raise ShapeError(
            f"output '{name}' has shape {shape}: expected one score for each candidate, and it has no axis "
            f"of candidates; `run` gives it"
        )
    example = f'"{name}[0]"' if by else f'output=("{name}", 0)'
    width, classes = _width(info, graph), class_count(graph, name)
    if score.column is not None:
        if width is not None and not -width <= score.column < width:
            raise InputError(f"output '{name}' has shape {shape}: it has no column {score.column}")
        if info.shape is None or sum(not same_size(size, 1) for size in info.shape) > 2:
            raise ShapeError(f"output '{name}' has shape {shape}: expected a matrix, to take a column of it")
        return score if width is None else replace(score, column=score.column % width)
    if classes == 2 and not score.logit:
        return replace(score, column=1)
    if classes > 2:
        raise ShapeError(
            f"output '{name}' has shape {shape}, a column for each of {classes} classes: "
            f"name a column, as in {example}"
        )
    if single and width is not None and width != 1:
        raise ShapeError(
            f"output '{name}' has shape {shape}: expected one score for each candidate; "
            f"name a column, as in {example}"
        )
    return score


def _resolved_name(name: Name, graph: Graph) -> Name:
    if name.name in graph.outputs:
        column = _resolved(Column(name.name, name.column), graph, single=True, by=True).column
        return replace(name, column=column)
    info = analyze(graph).infos[name.name]
    if info.dtype is None or info.dtype.kind not in "fiub":
        raise DTypeError(f"by: input '{name.name}' holds no numbers (character {name.at})")
    width = _width(info, graph)
    if (
        info.rows == Rows.INVARIANT
        and info.shape is not None
        and all(same_size(size, 1) for size in info.shape)
    ):
        width = 1
    fits = width is not None and info.shape is not None
    if name.column is None and (not fits or width != 1):
        raise ShapeError(
            f"by: input '{name.name}' has shape {_shown(info)} (character {name.at}): "
            f'name a column, as in "{name.name}[0]"'
        )
    if name.column is not None and (width is None or not -width <= name.column < width):
        raise InputError(f"by: input '{name.name}' has no column {name.column} (character {name.at})")
    return name


def _resolved_term(term: Term, graph: Graph) -> Term:
    if isinstance(term, Name):
        return _resolved_name(term, graph)
    if isinstance(term, Apply):
        return replace(term, operands=tuple(_resolved_term(operand, graph) for operand in term.operands))
    return term


def resolve(wanted: Wanted, graph: Graph, single: bool) -> tuple[Score, ...]:
    """The scores as the graph has them: with columns named, and each of them one that candidates can have.

    Parameters
    ----------
    wanted : Wanted
    graph : Graph
        Compiled, with its rows where the candidates are.
    single : bool
        Whether each has to be one number for each row. A list always needs that.

    Raises
    ------
    InputError
        `ShapeError` for an output that is not by row, holds probabilities of more than two classes, or
        has more columns than one where that is not allowed; `DTypeError` for strings.
    """
    single = single or wanted.keys is not None
    made: list[Score] = []
    for score in wanted.scores:
        if isinstance(score, Column):
            made.append(_resolved(score, graph, single))
        else:
            made.append(replace(score, root=_resolved_term(score.root, graph)))
    return tuple(made)


def is_by_row(wanted: Wanted, graph: Graph) -> bool:
    """Whether the outputs that are asked for have numbers for each row, as many as the graph says."""
    infos = analyze(graph).infos
    return all(_width(infos[name], graph) is not None for name in wanted.names() if name in graph.outputs)


__all__ = [
    "Output",
    "Wanted",
    "class_count",
    "default_output",
    "is_by_row",
    "read_by",
    "read_output",
    "resolve",
]
