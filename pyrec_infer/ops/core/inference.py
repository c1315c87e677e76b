"""What is known of every value of a graph before any run: types, shapes, small contents and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import STRING, Array, Dim, Graph, Info, Node, Rows, bytes_of, fault, holds_strings
from pyrec_infer.ops.core.bounds import GROWING, check_axes, check_ranks, evaluate_within, is_long
from pyrec_infer.ops.core.registry import Op, couples, lookup
from pyrec_infer.ops.core.shapes import product, same_shape

_MAX_CONTENTS = 64
_MAX_FOLDED = 4096
_FEW_FOLDED = 64
_MAX_BYTES = 64 << 10
"""What a folded result may take: numbers of so many elements, or strings."""
_ROOM = 16 << 20
"""Bytes of folded results of a graph from which on only those of few elements are folded."""


@dataclass(frozen=True)
class Analysis:
    """What `analyze` finds.

    Attributes
    ----------
    infos : dict of str to Info
        Every value of the graph: inputs, constants and results of nodes.
    coupled : frozenset of Node
        Nodes that only ever run on the whole batch.
    """

    infos: dict[str, Info]
    coupled: frozenset[Node]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found of one node, and from what; it holds for the same inputs in any graph."""

    rows: bool
    inputs: tuple[Info | None, ...]
    outputs: tuple[Info, ...]
    coupled: bool

    def fits(self, rows: bool, inputs: Sequence[Info | None]) -> bool:
        return self.rows == rows and all(map(_same_input, self.inputs, inputs))


def analyze(graph: Graph, infos: Mapping[str, Info] | None = None) -> Analysis:
    """Types, shapes, contents and row axes of every value, and the nodes that couple rows.

    Parameters
    ----------
    graph : Graph
        A closed graph; bodies inside it are looked into, but their values are not reported.
    infos : mapping of str to Info, optional
        What is known of the inputs; what is not in it comes from ``graph.infos``.

    Raises
    ------
    ModelError
        If a node's inputs can never fit.
    """
    if infos:
        return _analyze(graph, {**graph.infos, **infos}, rows=True)
    # Passes ask the same of one graph several times. Not in a table of weak references: Python loses what
    # a signal's handler raises in their callbacks.
    found: Analysis | None = graph.findings.get(Analysis)
    if found is None:
        found = graph.findings[Analysis] = _analyze(graph, graph.infos, rows=True)
    return Analysis(dict(found.infos), found.coupled)


def infer_graph(graph: Graph, infos: Mapping[str, Info]) -> dict[str, Info]:
    """Like `analyze`, without rows: what bodies of control flow need."""
    return _analyze(graph, {**graph.infos, **infos}, rows=False).infos


def constant_info(value: Array) -> Info:
    """What is known of a constant: everything."""
    dtype = STRING if holds_strings(value) else value.dtype
    return Info(dtype, value.shape, constant=value)


def _analyze(graph: Graph, given: Mapping[str, Info], rows: bool) -> Analysis:
    infos = {name: given[name] if name in given else Info(None, None) for name in graph.inputs}
    infos.update((name, constant_info(value)) for name, value in graph.constants.items())
    coupled = []
    folded = 0
    for node in graph.nodes:
        outputs, couples_rows = analyze_node(
            node, infos, rows, _MAX_FOLDED if folded < _ROOM else _FEW_FOLDED
        )
        folded += sum(bytes_of(info.constant) for info in outputs if info.constant is not None)
        if couples_rows:
            coupled.append(node)
        infos.update((name, info) for name, info in zip(node.outputs, outputs, strict=True) if name)
    return Analysis(infos, frozenset(coupled))


def _same_input(a: Info | None, b: Info | None) -> bool:
    """Whether two findings are one, or those of one constant with the same rows."""
    if a is b or a is None or b is None:
        return a is b
    return a.constant is not None and a.constant is b.constant and a.rows == b.rows


def _same_output(a: Info, b: Info) -> bool:
    """Whether two findings say the same; False where a look at their elements would have to tell."""
    return (
        a.constant is b.constant
        and a.contents is b.contents
        and (a.dtype, a.rows, a.sequence) == (b.dtype, b.rows, b.sequence)
        and (a.shape is b.shape or same_shape(a.shape, b.shape))
    )


def analyze_node(
    node: Node, infos: Mapping[str, Info], rows: bool = True, most: int = _MAX_FOLDED
) -> tuple[Sequence[Info], bool]:
    """What is known of a node's outputs, and whether it couples rows, from what is known of its inputs.

    Results of up to ``most`` elements are folded where all inputs are known.
    """
    inputs = tuple([infos[name] if name else None for name in node.inputs])
    # Most passes leave most nodes as they were.
    before: _Found | None = node.findings.get(_Found)
    if before is not None and before.fits(rows, inputs):
        return before.outputs, before.coupled
    outputs, coupled = _analyze_inputs(node, inputs, rows, most)
    if before is not None:
        # What follows a value that is as it was is found again by identity.
        outputs = [
            old if _same_output(old, new) else new for old, new in zip(before.outputs, outputs, strict=True)
        ]
    node.findings[_Found] = _Found(rows, inputs, tuple(outputs), coupled)
    return outputs, coupled


def _analyze_inputs(
    node: Node, inputs: Sequence[Info | None], rows: bool, most: int
) -> tuple[Sequence[Info], bool]:
    op = lookup(node.op)
    try:
        outputs = _outputs(node, op, inputs, most)
        if not rows:
            return outputs, False
        flow = (op.rows if op else couples)(node, inputs, outputs)
        return [info.with_rows(axis) for info, axis in zip(outputs, flow.rows, strict=True)], flow.coupled
    except ModelError as error:
        # Rules may say which node it is, and those inside bodies have.
        if error.about is not None:
            raise
        raise fault(type(error), node, str(error)) from error
    except MemoryError:
        raise
    except Exception as error:
        let_interrupts_pass(error)
        # A rule relies on attributes and shapes that a damaged file need not have.
        raise fault(ModelError, node, f"inconsistent: {error}") from error


def _outputs(node: Node, op: Op | None, inputs: Sequence[Info | None], most: int) -> list[Info]:
    count = len(node.outputs)
    if op is None:
        return [Info(None, None)] * count
    check_axes(node, inputs)
    outputs = [info.with_rows(Rows.INVARIANT) for info in op.infer(node, inputs)][:count]
    check_ranks(node, outputs)
    outputs += [Info(None, None)] * (count - len(outputs))
    if node.bodies:
        return outputs
    folded = _fold(node, inputs, outputs, most)
    if folded is not None:
        return [constant_info(value) for value in folded]
    if count == 1 and outputs[0].constant is None:
        outputs = [_with_contents(outputs[0], _contents(node, op, inputs, outputs[0]))]
    return outputs


def _fold(
    node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info], most: int
) -> Sequence[Array] | None:
    """The results, if all inputs are known and everything is small."""
    present = [info for info in inputs if info is not None]
    if not present or any(info.constant is None for info in present):
        return None
    constants = [None if info is None else info.constant for info in inputs]
    if sum(value.size for value in constants if value is not None) > most:
        return None
    for info in outputs:
        size = None if info.shape is None else product(info.shape)
        if info.sequence or (isinstance(size, int) and size > most):
            return None
        if not isinstance(size, int) and node.op in GROWING:
            return None
    if is_long(node, constants):
        return None
    results = evaluate_within(node, constants, _MAX_BYTES)
    return results if results is not None and len(results) == len(outputs) else None


def _contents(node: Node, op: Op, inputs: Sequence[Info | None], output: Info) -> Array | None:
    """The symbolic elements of a small integer result, as an object array."""
    if output.contents is not None:
        return output.contents
    if not op.symbolic or all(info is None or info.contents is None for info in inputs):
        return None
    if output.dtype is None or output.dtype.kind not in "iub":
        return None
    size = None if output.shape is None else product(output.shape)
    if node.op in GROWING and not (isinstance(size, int) and size <= _MAX_CONTENTS):
        return None
    arguments: list[Array | None] = []
    for info in inputs:
        known = None if info is None else info.constant if info.contents is None else info.contents
        if info is not None and (known is None or known.size > _MAX_CONTENTS):
            return None
        arguments.append(known)
    try:
        result = np.asarray(op.evaluate(node, arguments)[0])
    except Exception as error:
        let_interrupts_pass(error)
        return None
    return result if result.size <= _MAX_CONTENTS else None


def _with_contents(info: Info, contents: Array | None) -> Info:
    if contents is None or info.dtype is None:
        return info
    if any(isinstance(item, Dim) for item in contents.reshape(-1).tolist()):
        return replace(info, shape=contents.shape, contents=contents.astype(object))
    try:
        constant = contents.astype(info.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        let_interrupts_pass(error)
        return info
    return replace(info, shape=contents.shape, constant=constant, contents=None)
