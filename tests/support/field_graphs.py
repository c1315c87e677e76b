"""Random graphs of fields that are put together, cut and combined as recommendation models do."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Shape, verify
from pyrec_infer.passes.common.rules import Site

WIDTH = 4
NAMES = ("a", "b", "c", "d")

Array = NDArray[Any]


class FieldGraph(Site):
    """Appends nodes to a graph of inputs ``a`` to ``d``: [N, 4] or [N, 1, 4]."""

    def __init__(self, random: Random) -> None:
        self.random = random
        shapes: list[Shape] = [(Dim.symbol(BATCH), WIDTH), (Dim.symbol(BATCH), 1, WIDTH)]
        given = {name: Info(np.dtype(np.float32), random.choice(shapes), 0) for name in NAMES}
        super().__init__(Graph(NAMES, (), (), {}, given))
        self._base = "t"
        self.values = list(NAMES)

    def made(self) -> Graph:
        """The graph; its output is the value made last."""
        nodes = [*self.nodes, Node("Identity", self.nodes[-1].outputs, ("y",))]
        return Graph(NAMES, ("y",), tuple(nodes), self.constants, {name: self.infos[name] for name in NAMES})

    def rank(self, name: str) -> int:
        return len(self.shape(name) or ())

    def row(self, name: str) -> list[int]:
        return list(self.sizes(name) or ())

    def integers_of(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def as_fields(self, name: str) -> str:
        """The value as [N, F, 4]."""
        count = int(np.prod(self.row(name))) // WIDTH
        return self.node("Reshape", name, self.integers_of(-1, count, WIDTH))

    def flat(self, name: str) -> str:
        op = self.random.choice(("Flatten", "Reshape"))
        if op == "Flatten":
            return self.node("Flatten", name, axis=1)
        return self.node("Reshape", name, self.integers_of(-1, int(np.prod(self.row(name)))))

    def joined(self) -> str:
        """Some values side by side, as fields or flat."""
        parts = [self.random.choice(self.values) for _ in range(self.random.randint(1, 4))]
        if self.random.random() < 0.5:
            return self.node("Concat", *map(self.as_fields, parts), axis=1)
        return self.node("Concat", *map(self.flat, parts), axis=-1)

    def picked(self, name: str) -> str:
        """Some fields of a value [N, F, 4]."""
        count = self.row(name)[0]
        form = self.random.randrange(4)
        if form == 0:
            begin = self.random.randrange(count)
            end = self.random.randint(begin + 1, count)
            bounds = [self.integers_of(value) for value in (begin, end, 1)]
            return self.node("Slice", name, *bounds)
        chosen = [self.random.randrange(count) for _ in range(self.random.randint(1, 5))]
        if form == 1:
            return self.node("Gather", name, self.integers_of(*chosen), axis=1)
        turned = self.node("Transpose", name, perm=(1, 0, 2))
        if form == 2:
            places = self.constant(np.asarray(chosen)[:, None], np.int64)
            return self.node("Transpose", self.node("GatherND", turned, places), perm=(1, 0, 2))
        return self.node(
            "Transpose", self.node("Gather", turned, self.integers_of(*chosen), axis=0), perm=(1, 0, 2)
        )

    def number(self) -> str:
        return self.constant(self.random.choice((0.5, 1.0, 2.0)), np.float32)

    def mapped(self, name: str) -> str:
        """An elementwise function of a value."""
        form = self.random.randrange(5)
        if form == 0:
            return self.node("Mul", name, name)
        if form == 1:
            return self.node("Pow", name, self.constant(2.0, np.float32))
        if form == 2:
            return self.node("Relu", name)
        if form == 3:
            row = self.constant(np.arange(self.row(name)[-1]) / 2 - 1, np.float32)
            return self.node(self.random.choice(("Add", "Mul", "Sub")), name, row)
        return self.node("Mul", self.number(), name)

    def dots(self) -> str:
        """Dot products of fields, [N, P]."""
        form = self.random.randrange(3)
        fields = self.as_fields(self.joined())
        if form == 0:
            turned = self.node("Transpose", fields, perm=(0, 2, 1))
            products = self.node("MatMul", fields, turned)
            count = self.row(fields)[0] ** 2
            chosen = [self.random.randrange(count) for _ in range(self.random.randint(1, 6))]
            flat = self.node("Reshape", products, self.integers_of(-1, count))
            return self.node("Gather", flat, self.integers_of(*chosen), axis=1)
        count = self.row(fields)[0]
        left, right = ([self.random.randrange(count) for _ in range(3)] for _ in range(2))
        if form == 1:
            chosen_fields = [
                self.node("Gather", fields, self.integers_of(*item), axis=1) for item in (left, right)
            ]
            return self.node("ReduceSum", self.node("Mul", *chosen_fields), self.integers_of(2), keepdims=0)
        return self.node("pyrec.PairDots", fields, fields, self.integers_of(*left), self.integers_of(*right))

    def machine(self) -> str:
        """A factorisation machine, [N, 1]."""
        fields = self.as_fields(self.joined())
        total = self.node("ReduceSum", fields, self.integers_of(1), keepdims=1)
        squares = self.node("ReduceSum", self.mapped(fields), self.integers_of(1), keepdims=1)
        both = self.node("Sub", self.node("Mul", total, total), squares)
        summed = self.node("ReduceSum", both, self.integers_of(2), keepdims=0)
        return self.node("Mul", summed, self.constant(0.5, np.float32))

    def layer(self) -> str:
        x = self.flat(self.joined())
        if self.random.random() < 0.5:
            x = self.mapped(x)
        weights = np.asarray([[self.random.choice((-1, 0, 1))] for _ in range(self.row(x)[0])])
        return self.node(
            "pyrec.Dense", x, self.constant(weights, np.float32), self.constant([0.5], np.float32)
        )

    def summed(self) -> str:
        """All of a value summed over its fields or numbers, [N, 1]."""
        x = self.mapped(self.joined())
        op = self.random.choice(("ReduceSum", "ReduceMean", "ReduceMax"))
        axes = list(range(1, self.rank(x)))
        while len(axes) > 1:
            x = self.node(op, x, self.integers_of(axes.pop(self.random.randrange(len(axes)))), keepdims=0)
            axes = list(range(1, self.rank(x)))
        return self.node(op, x, self.integers_of(1), keepdims=1)


def field_graph(random: Random) -> Graph:
    """A graph whose output ``y`` is the sum of several terms [N, 1]."""
    made = FieldGraph(random)
    for _ in range(random.randint(0, 3)):
        x = made.joined()
        if random.random() < 0.5:
            x = made.mapped(x)
        made.values.append(made.picked(made.as_fields(x)) if random.random() < 0.6 else x)
    terms = []
    for _ in range(random.randint(1, 4)):
        form = random.randrange(4)
        if form == 0:
            dots = made.dots()
            terms.append(made.node("ReduceSum", dots, made.integers_of(1), keepdims=1))
        else:
            terms.append((made.machine, made.layer, made.summed)[form - 1]())
    total = terms[0]
    for term in terms[1:]:
        total = made.node(random.choice(("Add", "Sub")), total, term)
    made.node("Identity", total)
    graph = made.made()
    verify(graph, "the test")
    return graph


def field_inputs(graph: Graph, rows: int, seed: int = 0) -> dict[str, Array]:
    """Small halves, so that sums are exact in any order."""
    generator = np.random.default_rng(seed)
    return {
        name: (generator.integers(-2, 3, (rows, *(int(size) for size in (info.shape or ())[1:]))) / 2).astype(  # type: ignore[call-overload]
            np.float32
        )
        for name, info in graph.infos.items()
    }
