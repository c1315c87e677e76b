"""Random small models with a symbolic batch, whose operators meet the batch axis in every way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pyrec_infer.formats import import_model
from pyrec_infer.ir import BATCH, Dim, Graph
from pyrec_infer.ops.core.interpret import interpret
from pyrec_infer.passes import EVERY, Context, split_graphs
from pyrec_infer.passes.common.sides import Sides
from support.models import FLOAT, INT64, Value, make_model

Array = NDArray[Any]
Size = int | tuple[int]
"""A number, or in a tuple the coefficient of the batch size."""

TABLE_ROWS = 5


def bind_sizes(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph with the values of `pyrec.DimValues` for given sizes."""
    constants = dict(graph.constants)
    nodes = []
    for node in graph.nodes:
        if node.op != "pyrec.DimValues":
            nodes.append(node)
            continue
        products = node.attribute("sizes")
        values = [size.coefficient * math.prod(sizes[name] for name in size.symbols) for size in products]
        made = np.asarray(values[0] if node.attribute("scalar") else values, np.int64)
        constants[node.outputs[0]] = made
    return graph.with_(nodes=tuple(nodes), constants=constants)


def split_graph(graph: Graph, request: Iterable[str], items: Iterable[str] = ()) -> Graph:
    """The graph for a request with many candidates."""
    context = Context(sides=Sides(frozenset(request), frozenset(items)))
    return split_graphs(graph, context)[EVERY].graph


def _sizes_of(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, int]:
    """The named sizes of inputs, where an axis is nothing but one of them."""
    found = {}
    for name in graph.inputs:
        for size, given in zip(graph.infos[name].shape or (), inputs[name].shape, strict=True):
            if isinstance(size, Dim) and size.coefficient == 1 and len(size.symbols) == 1:
                found[size.symbols[0]] = given
    return found


def evaluate(graph: Graph, inputs: Mapping[str, Array], rows: int) -> dict[str, Any]:
    """The graph's outputs by the reference interpreter."""
    sizes = {**_sizes_of(graph, inputs), BATCH: rows}
    with np.errstate(all="ignore"):
        made = interpret(bind_sizes(graph, sizes), [inputs[name] for name in graph.inputs])
    return dict(zip(graph.outputs, made, strict=True))


def equal(a: Any, b: Any) -> bool:
    """Equal up to the order of float32 operations."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    scale = float(np.max(np.abs(b[np.isfinite(b)]), initial=1.0)) if b.dtype.kind == "f" else 0.0
    return np.allclose(a, b, rtol=1e-4, atol=1e-5 * scale, equal_nan=True)


@dataclass(frozen=True)
class RandomModel:
    """A model with inputs ``u`` [N, 3], ``v`` [N, 2, 2], ``w`` [N] and ids ``i`` [N], and an output ``y``."""

    proto: onnx.ModelProto

    @property
    def graph(self) -> Graph:
        return import_model(self.proto.SerializeToString()).graph

    def __repr__(self) -> str:
        return onnx.printer.to_text(self.proto)


def inputs_of(rows: int, seed: int = 0) -> dict[str, Array]:
    """Inputs for random models, of small whole numbers, so that sums are mostly exact."""
    generator = np.random.default_rng(seed)
    return {
        "u": generator.integers(-2, 3, (rows, 3)).astype(np.float32),
        "v": generator.integers(-2, 3, (rows, 2, 2)).astype(np.float32),
        "w": generator.integers(-2, 3, rows).astype(np.float32),
        "i": generator.integers(0, TABLE_ROWS, rows),
    }


def _times(size: Size, factor: int) -> Size:
    return (size[0] * factor,) if isinstance(size, tuple) else size * factor


class _Builder:
    """Appends nodes to a model; ``shapes`` holds the float values that may be read."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {
            "table": np.arange(TABLE_ROWS * 3, dtype=np.float32).reshape(TABLE_ROWS, 3) % 4 - 1
        }
        self.shapes: dict[str, tuple[Size, ...]] = {"u": ((1,), 3), "v": ((1,), 2, 2), "w": ((1,),)}

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"n{len(self.nodes)}", **attributes))
        return names[0]

    def weights(self, *shape: int) -> str:
        values = [self.random.randint(-2, 2) for _ in range(math.prod(shape))]
        return self.constant(np.reshape(values, shape), np.float32)

    def value(self) -> tuple[str, tuple[Size, ...]]:
        name = self.random.choice(sorted(self.shapes))
        return name, self.shapes[name]

    def batch_size(self) -> str:
        """A 1-D tensor with the number of rows, read the way exporters do."""
        shape = self.add("Shape", self.random.choice(["u", "v", "w"]))
        if self.random.random() < 0.5:
            return self.add("Slice", shape, self.constant([0]), self.constant([1]))
        scalar = self.add("Gather", shape, self.constant(0))
        return self.add("Unsqueeze", scalar, self.constant([0]))


Rule = Callable[[_Builder, str, tuple[Size, ...]], tuple[str, tuple[Size, ...]] | None]


def _unary(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]]:
    return b.add(b.random.choice(["Relu", "Neg", "Abs", "Tanh", "Sigmoid", "Identity"]), x), shape


def _broadcast(a: tuple[Size, ...], b: tuple[Size, ...]) -> tuple[Size, ...] | None:
    rank = max(len(a), len(b))
    made: list[Size] = []
    for x, y in zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True):
        if x != y and 1 not in (x, y):
            return None
        made.append(y if x == 1 else x)
    return tuple(made)


def _binary(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    y, other = b.value()
    made = _broadcast(shape, other)
    return None if made is None else (b.add(b.random.choice(["Add", "Sub", "Mul", "Max"]), x, y), made)


def _scaled(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]]:
    last = shape[-1] if shape and isinstance(shape[-1], int) and b.random.random() < 0.7 else 1
    return b.add(b.random.choice(["Add", "Mul"]), x, b.weights(last)), shape or (1,)


def _where(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    made = _broadcast(((1,),), shape)
    if made is None:
        return None
    positive = b.add("Greater", "w", b.constant(0, np.float32))
    return b.add("Where", positive, x, b.constant(1, np.float32)), made


def _matmul(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    choice = b.random.random()
    if choice < 0.4 and len(shape) >= 2 and isinstance(shape[-1], int):
        return b.add("MatMul", x, b.weights(shape[-1], 2)), (*shape[:-1], 2)
    if choice < 0.6 and len(shape) >= 2 and isinstance(shape[-2], int):
        return b.add("MatMul", b.weights(2, shape[-2]), x), (*shape[:-2], 2, shape[-1])
    y, other = b.value()
    if len(shape) < 2 or len(other) < 2 or shape[-1] != other[-2]:
        return None
    batch = _broadcast(shape[:-2], other[:-2])
    return None if batch is None else (b.add("MatMul", x, y), (*batch, shape[-2], other[-1]))


def _gemm(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    if len(shape) != 2:
        return None
    turned = b.random.randint(0, 1)
    inner, rows = (shape[0], shape[1]) if turned else (shape[1], shape[0])
    if not isinstance(inner, int):
        return None
    return b.add("Gemm", x, b.weights(inner, 2), b.weights(2), transA=turned), (rows, 2)


def _gather(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    if b.random.random() < 0.3:
        return b.add("Gather", "table", "i"), ((1,), 3)
    if not shape:
        return None
    axis = b.random.randrange(len(shape))
    if b.random.random() < 0.3:
        return b.add("Gather", x, b.constant(-1), axis=axis), (*shape[:axis], *shape[axis + 1 :])
    return b.add("Gather", x, b.constant([0, -1]), axis=axis), (*shape[:axis], 2, *shape[axis + 1 :])


def _concat(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    if not shape:
        return None
    axis = b.random.randrange(len(shape))
    size = shape[axis]
    fits = [
        name
        for name, other in sorted(b.shapes.items())
        if len(other) == len(shape)
        and other[:axis] == shape[:axis]
        and other[axis + 1 :] == shape[axis + 1 :]
        and isinstance(other[axis], int) == isinstance(size, int)
    ]
    other = b.shapes[name := b.random.choice(fits)][axis]
    joined = (size[0] + other[0],) if isinstance(size, tuple) and isinstance(other, tuple) else None
    if joined is None:
        assert isinstance(size, int)
        assert isinstance(other, int)
        joined = size + other  # type: ignore[assignment]
    return b.add("Concat", x, name, axis=axis), (*shape[:axis], joined, *shape[axis + 1 :])  # type: ignore[arg-type]


def _reshape(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    sizes = [(size, 0) if isinstance(size, int) else (size[0], 1) for size in shape]
    constant, batches = math.prod(size for size, _ in sizes), sum(power for _, power in sizes)
    if batches > 1 or not shape:
        return None

    def rest(known: int) -> Size:
        return (constant // known,) if batches else constant // known

    kind = b.random.choice(["rows", "columns", "flat", "keep", "sized"])
    divisors = [k for k in range(1, constant + 1) if constant % k == 0]
    k = b.random.choice(divisors)
    if kind == "rows":
        return b.add("Reshape", x, b.constant([-1, k])), (rest(k), k)
    if kind == "columns":
        return b.add("Reshape", x, b.constant([k, -1])), (k, rest(k))
    if kind == "flat":
        return b.add("Flatten", x, axis=1), (shape[0], _tail(shape))  # type: ignore[return-value]
    if kind == "keep":
        return b.add("Reshape", x, b.constant([0, -1])), (shape[0], _tail(shape))  # type: ignore[return-value]
    if not batches:
        return None
    target = b.add("Concat", b.batch_size(), b.constant([-1]), axis=0)
    return b.add("Reshape", x, target), ((1,), constant)


def _tail(shape: tuple[Size, ...]) -> Size:
    total: Size = 1
    for size in shape[1:]:
        total = (
            (total[0] * size[0],)
            if isinstance(size, tuple) and isinstance(total, tuple)
            else (
                _times(size, total) if isinstance(total, int) else _times(total, size)  # type: ignore[arg-type]
            )
        )
    return total


def _transpose(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    if not shape:
        return None
    order = list(range(len(shape)))
    b.random.shuffle(order)
    return b.add("Transpose", x, perm=order), tuple(shape[axis] for axis in order)


def _reduce(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    if not shape:
        return None
    axis, keep = b.random.randrange(len(shape)), b.random.randint(0, 1)
    op = b.random.choice(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2"])
    made = (*shape[:axis], *((1,) if keep else ()), *shape[axis + 1 :])
    if keep:
        made = tuple(1 if i == axis else size for i, size in enumerate(shape))
    return b.add(op, x, b.constant([axis - len(shape)]), keepdims=keep), made  # type: ignore[return-value]


def _softmax(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    if not shape:
        return None
    return b.add("Softmax", x, axis=b.random.randrange(len(shape))), shape


def _slice(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    if not shape:
        return None
    axis = b.random.randrange(len(shape))
    size = shape[axis]
    step = b.random.choice([1, -1])
    if isinstance(size, tuple):
        begin, end, made = (0, 2**31 - 1, size) if step == 1 else (-1, -(2**31), size)
        if b.random.random() < 0.3:
            begin, end, step, made = 0, 1, 1, 1  # type: ignore[assignment]
    elif size == 1 or step == -1:
        begin, end, made = (0, size, size) if step == 1 else (-1, -(2**31), size)  # type: ignore[assignment]
    else:
        begin, end, made = 1, size, size - 1  # type: ignore[assignment]
    operands = [b.constant([item]) for item in (begin, end, axis, step)]
    return b.add("Slice", x, *operands), (*shape[:axis], made, *shape[axis + 1 :])


def _expand(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]]:
    kind = b.random.choice(["constant", "tile", "column", "fill", "batch"])
    rows = b.batch_size()
    if kind == "constant":
        return b.add("Expand", b.weights(1, 3), b.add("Concat", rows, b.constant([3]), axis=0)), ((1,), 3)
    if kind == "tile":
        return b.add("Tile", b.weights(2, 3), b.add("Concat", rows, b.constant([1]), axis=0)), ((2,), 3)
    if kind == "fill":
        target = b.add("Concat", rows, b.constant([2]), axis=0)
        value = helper.make_tensor("value", TensorProto.FLOAT, [1], [2.0])
        return b.add("ConstantOfShape", target, value=value), ((1,), 2)
    column = b.add("Unsqueeze", "w", b.constant([1]))
    if kind == "column":
        return b.add("Expand", column, b.constant([1, 3])), ((1,), 3)
    # [N, N]: every row against every other.
    return b.add("Expand", column, b.add("Concat", rows, rows, axis=0)), ((1,), (1,))


def _unsqueeze(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    if len(shape) > 3:
        return None
    axis = b.random.randint(0, len(shape))
    return b.add("Unsqueeze", x, b.constant([axis])), (*shape[:axis], 1, *shape[axis:])


def _squeeze(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    if not ones:
        return None
    axis = b.random.choice(ones)
    return b.add("Squeeze", x, b.constant([axis])), (*shape[:axis], *shape[axis + 1 :])


def _split(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    axes = [axis for axis, size in enumerate(shape) if isinstance(size, int) and size > 1]
    if not axes:
        return None
    axis = b.random.choice(axes)
    size = shape[axis]
    assert isinstance(size, int)
    name = b.add("Split", x, b.constant([1, size - 1]), axis=axis, outputs=2)
    return name, (*shape[:axis], 1, *shape[axis + 1 :])


def _cumsum(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    if not shape:
        return None
    axis = b.constant(b.random.randrange(len(shape)))
    return b.add("CumSum", x, axis, reverse=b.random.randint(0, 1)), shape


def _scatter(b: _Builder, x: str, shape: tuple[Size, ...]) -> tuple[str, tuple[Size, ...]] | None:
    if len(shape) != 2 or shape[0] != (1,) or not isinstance(shape[1], int):
        return None
    column = b.add("Unsqueeze", "i", b.constant([1]))
    index = b.add("Mod", column, b.constant(shape[1]))
    if b.random.random() < 0.5:
        return b.add("GatherElements", x, index, axis=1), ((1,), 1)
    return b.add("ScatterElements", x, index, b.add("Unsqueeze", "w", b.constant([1])), axis=1), shape


RULES: tuple[Rule, ...] = (
    _unary,
    _binary,
    _binary,
    _scaled,
    _where,
    _matmul,
    _gemm,
    _gather,
    _concat,
    _reshape,
    _reshape,
    _transpose,
    _reduce,
    _softmax,
    _slice,
    _expand,
    _unsqueeze,
    _squeeze,
    _split,
    _cumsum,
    _scatter,
)


def random_model(random: Random) -> RandomModel:
    """A model of up to nine operators, with some more for the sizes."""
    builder = _Builder(random)
    last = "u"
    for _ in range(random.randint(1, 9)):
        x, shape = (last, builder.shapes[last]) if random.random() < 0.6 else builder.value()
        made = random.choice(RULES)(builder, x, shape)
        # Two batch axes make N * N values; more are of no interest.
        if made is None or len(made[1]) > 4 or sum(isinstance(size, tuple) for size in made[1]) > 2:
            continue
        last = made[0]
        builder.shapes[last] = made[1]
    builder.nodes.append(helper.make_node("Identity", [last], ["y"]))
    inputs: dict[str, Value] = {
        "u": (FLOAT, ["N", 3]),
        "v": (FLOAT, ["N", 2, 2]),
        "w": (FLOAT, ["N"]),
        "i": (INT64, ["N"]),
    }
    return RandomModel(make_model(builder.nodes, inputs, {"y": (FLOAT, None)}, builder.constants))
