"""From the sums of trees to what the library that trained them predicts, as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrec_infer.formats.source import Imported
from pyrec_infer.ir import BATCH, Array, Attribute, Dim, Forest, Graph, Info, Node


@dataclass(frozen=True, slots=True)
class Ending:
    """What follows the sums of a model.

    Attributes
    ----------
    link : str
        What makes predictions of sums: ``"sigmoid"``, ``"softmax"``, ``"argmax"``, ``"exp"``, ``"softplus"``,
        ``"signed square"`` or ``"step"``; empty for a model that predicts the sums themselves.
    scale : float
        What sums are multiplied by in front of the link.
    divisor : int
        What sums are divided by: the trees of an average.
    """

    link: str = ""
    scale: float = 1.0
    divisor: int = 1


class _Nodes:
    """Nodes and constants under names that no feature has."""

    def __init__(self, taken: Sequence[str]) -> None:
        self.taken = set(taken)
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}

    def free(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def node(self, op: str, *inputs: str, output: str = "", **attributes: Attribute) -> str:
        output = output or self.free(f"trees/{len(self.nodes)}")
        self.nodes.append(Node(op, inputs, (output,), attributes, name=op))
        return output

    def constant(self, value: Any, dtype: Any) -> str:
        name = self.free(f"trees/constant/{len(self.constants)}")
        self.constants[name] = np.asarray(value, dtype)
        return name


def _linked(nodes: _Nodes, link: str, margin: str, name: str) -> str:
    if link == "signed square":
        return nodes.node("Mul", margin, nodes.node("Abs", margin), output=name)
    if link == "step":
        above = nodes.node("Greater", margin, nodes.constant(0, np.float32))
        return nodes.node("Cast", above, output=name, to="float32")
    if link == "argmax":
        return nodes.node("ArgMax", margin, output=name, axis=1, keepdims=0)
    if link == "softmax":
        return nodes.node("Softmax", margin, output=name, axis=1)
    return nodes.node(link.capitalize(), margin, output=name)


def imported(
    forest: Forest, dtype: type[np.floating[Any]], width: int, names: Sequence[str], ending: Ending
) -> Imported:
    """The graph of trees over one matrix of features.

    Parameters
    ----------
    forest : Forest
    dtype : type
        Of the features.
    width : int
        The number of features.
    names : sequence of str
        Those of the inputs, one for each feature; empty for the matrix ``X`` as the only input.
    ending : Ending

    Returns
    -------
    Imported
        Outputs are float32: ``score``, or ``probabilities`` of several classes (with
        ``label`` in front where the library predicts that), and ``margin``, the sums, where they are not
        the score. A name that a feature has gets underscores behind it.
    """
    nodes = _Nodes(names)
    x = nodes.free("X")
    if names:
        axes = nodes.constant([1], np.int64)
        nodes.node("Concat", *(nodes.node("Unsqueeze", name, axes) for name in names), output=x, axis=1)
    several = forest.targets > 1
    sums = nodes.node("pyrec.Forest", x, forest=forest, dtype="float32")
    if not several:
        sums = nodes.node("Squeeze", sums, nodes.constant([1], np.int64))
    if ending.divisor != 1:
        sums = nodes.node("Div", sums, nodes.constant(ending.divisor, np.float32))
    outputs: list[str] = []
    if not ending.link:
        outputs.append(nodes.node("Identity", sums, output=nodes.free("score")))
    else:
        margin = nodes.node("Identity", sums, output=nodes.free("margin"))
        scaled = margin
        if ending.scale != 1:
            scaled = nodes.node("Mul", margin, nodes.constant(ending.scale, np.float32))
        if ending.link == "argmax":
            outputs.append(_linked(nodes, ending.link, scaled, nodes.free("label")))
        link = "softmax" if ending.link == "argmax" else ending.link
        of_classes = several and link in ("softmax", "sigmoid")
        outputs.append(_linked(nodes, link, scaled, nodes.free("probabilities" if of_classes else "score")))
        outputs.append(margin)
    inputs = tuple(names) or (x,)
    shape = (Dim.symbol(BATCH),) if names else (Dim.symbol(BATCH), width)
    infos = {name: Info(np.dtype(dtype), shape, 0) for name in inputs}
    graph = Graph(inputs, tuple(outputs), tuple(nodes.nodes), nodes.constants, infos)
    return Imported(graph, columns={x: inputs} if names else {})


__all__ = ["Ending", "imported"]
