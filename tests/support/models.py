"""Small ONNX models that tests build for themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 21

Shape = Sequence[int | str | None] | None
Value = tuple[int, Shape]
"""Element type and shape of an input or output."""

FLOAT, INT64, INT32, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.STRING


def make_graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
    constants: Mapping[str, NDArray[Any]] | None = None,
) -> onnx.GraphProto:
    """A graph; element type 0 leaves an output's type out."""

    def declare(values: Mapping[str, Value]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, code, shape) if code else onnx.ValueInfoProto(name=name)
            for name, (code, shape) in values.items()
        ]

    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    return helper.make_graph(nodes, "graph", declare(inputs), declare(outputs), stored)


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
    constants: Mapping[str, NDArray[Any]] | None = None,
    *,
    opset: int = OPSET,
    domains: Mapping[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """A model whose other operator sets are ``domains``."""
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(domain, version) for domain, version in (domains or {}).items()]
    graph = make_graph(nodes, inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)


def one_node(
    op: str,
    inputs: Mapping[str, Value],
    constants: Mapping[str, NDArray[Any]] | None = None,
    *,
    operands: Sequence[str] | None = None,
    opset: int = OPSET,
    domain: str = "",
    outputs: Sequence[str] = ("y",),
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node, named ``tested``, that reads the inputs and constants in order."""
    names = [*inputs, *(constants or {})] if operands is None else operands
    node = helper.make_node(op, names, list(outputs), name="tested", domain=domain, **attributes)
    domains = {domain: 1} if domain else {}
    made = {name: (0, None) for name in outputs if name}
    return make_model([node], inputs, made, constants, opset=opset, domains=domains)


USERS, ITEMS, WIDTH = 11, 23, 4


def ranker(ids: int = INT64) -> onnx.ModelProto:
    """Two embeddings and three dense features into a sigmoid: inputs user, item and dense."""
    generator = np.random.default_rng(5)

    def weights(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal(shape, np.float32)

    nodes = [
        helper.make_node("Gather", ["user_table", "user"], ["user_row"], name="user_lookup"),
        helper.make_node("Gather", ["item_table", "item"], ["item_row"], name="item_lookup"),
        helper.make_node("Concat", ["user_row", "item_row", "dense"], ["joined"], axis=1),
        helper.make_node("Gemm", ["joined", "w1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["total"]),
        helper.make_node("Sigmoid", ["total"], ["score"]),
    ]
    constants = {
        "user_table": weights(USERS, WIDTH),
        "item_table": weights(ITEMS, WIDTH),
        "w1": weights(2 * WIDTH + 3, 8),
        "b1": weights(8),
        "w2": weights(8, 1),
        "b2": weights(1),
    }
    inputs: dict[str, Value] = {"user": (ids, ["N"]), "item": (ids, ["N"]), "dense": (FLOAT, ["N", 3])}
    return make_model(nodes, inputs, {"score": (FLOAT, ["N", 1])}, constants)


COLUMNS = ("user", "city", "item", "price", "history", "history", "history")
"""Names of the columns of `matrix_ranker`'s input."""


def matrix_ranker() -> onnx.ModelProto:
    """One float matrix ``X`` whose first three columns and last three are ids, as DeepCTR exports it."""
    generator = np.random.default_rng(6)
    tables = {"user": USERS, "city": 5, "item": ITEMS}
    constants: dict[str, NDArray[Any]] = {
        f"{name}_table": generator.standard_normal((rows, WIDTH), np.float32) for name, rows in tables.items()
    }
    constants["axes"] = np.asarray([1])
    nodes: list[onnx.NodeProto] = []

    def columns(begin: int, end: int) -> str:
        name = f"columns_{begin}"
        constants[f"{name}_begin"] = np.asarray([begin])
        constants[f"{name}_end"] = np.asarray([end])
        nodes.append(helper.make_node("Slice", ["X", f"{name}_begin", f"{name}_end", "axes"], [name]))
        return name

    def lookup(table: str, begin: int, end: int) -> str:
        ids, rows = f"ids_{begin}", f"rows_{begin}"
        nodes.append(helper.make_node("Cast", [columns(begin, end)], [ids], to=INT64))
        nodes.append(helper.make_node("Gather", [f"{table}_table", ids], [rows], name=f"lookup_{begin}"))
        return rows

    fields = [lookup("user", 0, 1), lookup("city", 1, 2), lookup("item", 2, 3), lookup("item", 4, 7)]
    nodes.append(helper.make_node("ReduceMean", [fields.pop(), "axes"], ["bag"], keepdims=1))
    nodes.append(helper.make_node("Concat", [*fields, "bag"], ["fields"], axis=1))
    nodes.append(helper.make_node("Flatten", ["fields"], ["flat"]))
    nodes.append(helper.make_node("Concat", ["flat", columns(3, 4)], ["joined"], axis=1))
    constants["w"] = generator.standard_normal((4 * WIDTH + 1, 1), np.float32)
    nodes.append(helper.make_node("MatMul", ["joined", "w"], ["total"]))
    nodes.append(helper.make_node("Sigmoid", ["total"], ["score"]))
    return make_model(nodes, {"X": (FLOAT, ["N", len(COLUMNS)])}, {"score": (FLOAT, ["N", 1])}, constants)


def matrix_rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows for `matrix_ranker`."""
    generator = np.random.default_rng(seed)
    sizes = (USERS, 5, ITEMS, None, ITEMS, ITEMS, ITEMS)
    made = [generator.random(count) if size is None else generator.integers(0, size, count) for size in sizes]
    return np.stack(made, axis=1).astype(np.float32)


def listwise(batch: str | int, attention: bool) -> onnx.ModelProto:
    """Scores [B, L] of a user and a list of items; with attention the items see each other."""
    weights = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("Unsqueeze", ["u", "one"], ["v"]),
        helper.make_node("MatMul", ["items", "w"], ["k"]),
        helper.make_node("Mul", ["k", "v"], ["h"]),
    ]
    if attention:
        nodes += [
            helper.make_node("Transpose", ["h"], ["ht"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["h", "ht"], ["s"]),
            helper.make_node("Softmax", ["s"], ["weights"], axis=-1),
            helper.make_node("MatMul", ["weights", "h"], ["mixed"]),
            helper.make_node("ReduceSum", ["mixed", "last"], ["p"], keepdims=0),
        ]
    else:
        nodes.append(helper.make_node("ReduceSum", ["h", "last"], ["p"], keepdims=0))
    return make_model(
        nodes,
        {"u": (FLOAT, [batch, WIDTH]), "items": (FLOAT, [batch, "L", WIDTH])},
        {"p": (FLOAT, [batch, "L"])},
        {"w": weights, "one": np.asarray([1]), "last": np.asarray([2])},
    )
