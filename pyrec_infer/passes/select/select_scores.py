"""Make what a call asks for the graph's only output: columns, logits and expressions of outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from pyrec_infer.errors import InputError
from pyrec_infer.expressions import COMPARISONS, Expression, Name, Number, Term
from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Rows, same_size
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze, analyze_node, constant_info
from pyrec_infer.passes.clean.remove_dead import keep_outputs
from pyrec_infer.passes.common.formulas import log1p
from pyrec_infer.passes.common.writer import Writer


@dataclass(frozen=True, slots=True)
class Column:
    """An output of the graph, a column of it, or what its final sigmoid is given."""

    output: str
    column: int | None = None
    logit: bool = False


Score: TypeAlias = "Column | Expression"


def row_axis(info: Info, static_rows: int = 0) -> int | None:
    """Which axis of a value has an element for each row; None if none has, 0 where only a run can tell.

    A value that couples rows has them where its size is exactly that of the batch.
    """
    if info.rows >= 0 or info.rows == Rows.INVARIANT:
        return info.rows if info.rows >= 0 else None
    if info.shape is None:
        return 0
    if static_rows:
        return 0 if info.shape and same_size(info.shape[0], static_rows) else None
    axes = [axis for axis, size in enumerate(info.shape) if same_size(size, Dim.symbol(BATCH))]
    if len(axes) == 1:
        return axes[0]
    return 0 if info.shape and isinstance(info.shape[0], Dim) else None


def _keeps_value(node: Node) -> bool:
    """Whether a node gives the score that it reads, in another shape or type."""
    return has(node, Trait.VIEW) or node.op == "Cast" or (node.op == "Concat" and len(node.inputs) == 1)


class _Writer(Writer):
    """Appends nodes to a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.infos = analyze(graph).infos
        super().__init__("score", "score", self.infos)
        self.constants.update(graph.constants)

    def note_constant(self, name: str) -> None:
        self.infos[name] = constant_info(self.constants[name])

    def note(self, node: Node) -> None:
        (self.infos[node.outputs[0]],), _ = analyze_node(node, self.infos)

    def rows_first(self, name: str) -> str:
        """The value with its rows along axis 0."""
        info = self.infos[name]
        axis = row_axis(info, self.graph.static_rows)
        if not axis or info.shape is None:
            return name
        rest = [place for place in range(len(info.shape)) if place != axis]
        if all(same_size(info.shape[place], 1) for place in rest):
            return self.node("Reshape", name, self.constant([-1], np.int64))
        return self.node("Transpose", name, perm=(axis, *rest))

    def column(self, name: str, column: int) -> str:
        """One number for each row: a column of a value that is a matrix, apart from axes of size 1."""
        shape = self.infos[name].shape
        if shape is not None and len(shape) == 1:
            return name
        ones = [axis for axis, size in enumerate(shape or ()) if axis and isinstance(size, int) and size == 1]
        if shape is not None and len(shape) > 2:
            dropped = ones if len(shape) - len(ones) > 1 else ones[1:]
            name = self.node("Squeeze", name, self.constant(dropped, np.int64))
        return self.node("Gather", name, self.constant(column, np.int64), axis=1)

    def vector(self, name: str, column: int | None) -> str:
        """The value, or a column of it, as float32 of one axis; a value without rows has size 1."""
        name = self.rows_first(name)
        if column is not None:
            name = self.column(name, column)
        info = self.infos[name]
        if info.dtype != np.float32:
            name = self.node("Cast", name, to="float32")
        if info.rank != 1:
            name = self.node("Reshape", name, self.constant([-1], np.int64))
        return name

    def logit(self, name: str) -> str:
        """The value without the sigmoid that it ends in, seen through reshapes."""
        chain: list[Node] = []
        node = self.graph.producers.get(name)
        while node is not None and _keeps_value(node):
            chain.append(node)
            node = self.graph.producers.get(node.inputs[0])
        if node is not None and node.op == "pyrec.Dense" and node.attribute("activation", "") == "Sigmoid":
            plain = {key: value for key, value in node.attributes.items() if key != "activation"}
            made = self.node(node.op, *node.inputs, **plain)
        elif node is not None and node.op == "Sigmoid":
            made = node.inputs[0]
        else:
            raise InputError(f"output 'logit': output '{name}' does not end in a sigmoid")
        for view in reversed(chain):
            made = self.node(view.op, made, *view.inputs[1:], **view.attributes)
        return made

    def value(self, score: Column) -> str:
        """What a single score gives: all of the output where no column is named."""
        name = self.logit(score.output) if score.logit else score.output
        name = self.rows_first(name)
        return name if score.column is None else self.column(name, score.column)

    def term(self, term: Term) -> str:
        """The nodes of an expression, in float32."""
        if isinstance(term, Number):
            return self.constant(term.value, np.float32)
        if isinstance(term, Name):
            return self.vector(term.name, term.column)
        operands = [self.term(operand) for operand in term.operands]
        operator = term.operator
        if operator in _OPS or operator in COMPARISONS:
            return self.node(_OPS[operator], *operands)
        if operator == "clip":
            return self.node("Min", self.node("Max", operands[0], operands[1]), operands[2])
        assert operator == "log1p"
        return log1p(self, operands[0], np.float32)

    def score(self, score: Score) -> str:
        if isinstance(score, Expression):
            return self.term(score.root)
        return self.vector(self.logit(score.output) if score.logit else score.output, score.column)

    def finish(self, output: str) -> Graph:
        nodes = (*self.graph.nodes, *self.nodes)
        return keep_outputs(self.graph.with_(nodes=nodes, constants=self.constants), (output,))


_OPS = {
    "+": "Add",
    "-": "Sub",
    "*": "Mul",
    "/": "Div",
    "**": "Pow",
    "negative": "Neg",
    "<": "Less",
    "<=": "LessOrEqual",
    ">": "Greater",
    ">=": "GreaterOrEqual",
    "==": "Equal",
    "min": "Min",
    "max": "Max",
    "log": "Log",
    "exp": "Exp",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "where": "Where",
}


def select_scores(graph: Graph, scores: Sequence[Score]) -> Graph:
    """The part of a graph that makes these scores, as its only output.

    Parameters
    ----------
    graph : Graph
    scores : sequence of Column and Expression
        One: its value, with the rows along axis 0. Several: a float32 matrix with a column for each, so
        each has to be one number for each row.

    Raises
    ------
    InputError
        If a logit is asked of an output that does not end in a sigmoid.

    Examples
    --------
    >>> info = Info(np.dtype(np.float32), (Dim.symbol(BATCH), 3), 0)
    >>> graph = Graph(("x",), ("y",), (Node("Relu", ("x",), ("y",)),), {}, {"x": info})
    >>> [node.op for node in select_scores(graph, [Column("y", 2)]).nodes]
    ['Relu', 'Gather']
    """
    writer = _Writer(graph)
    if len(scores) == 1:
        (score,) = scores
        output = writer.score(score) if isinstance(score, Expression) else writer.value(score)
        return writer.finish(output)
    axes = writer.constant([1], np.int64)
    columns = [writer.node("Unsqueeze", writer.score(score), axes) for score in scores]
    return writer.finish(writer.node("Concat", *columns, axis=1))


def add_inputs(graph: Graph, names: Sequence[str]) -> Graph:
    """The graph with further float32 inputs of one number for each row; hidden values make room for them."""
    taken = {*graph.constants, *graph.producers} & set(names)
    infos = {**graph.infos, **{name: Info(np.dtype(np.float32), (Dim.symbol(BATCH),), 0) for name in names}}
    if taken & {*graph.outputs, *graph.inputs}:
        raise InputError(f"input '{min(taken)}': the model has a value of that name")
    known = {*graph.inputs, *graph.constants, *graph.producers, *names}
    renamed = {}
    for name in sorted(taken):
        fresh = f"{name}/hidden"
        while fresh in known:
            fresh += "/hidden"
        known.add(fresh)
        renamed[name] = fresh
    nodes = tuple(
        replace(
            node,
            inputs=tuple(renamed.get(name, name) for name in node.inputs),
            outputs=tuple(renamed.get(name, name) for name in node.outputs),
        )
        if renamed.keys() & {*node.inputs, *node.outputs}
        else node
        for node in graph.nodes
    )
    constants = {renamed.get(name, name): value for name, value in graph.constants.items()}
    return graph.with_(inputs=(*graph.inputs, *names), infos=infos, nodes=nodes, constants=constants)


__all__ = ["Column", "Score", "add_inputs", "row_axis", "select_scores"]
