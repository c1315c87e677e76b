"""Changes to a model that keep it a message of the format, and mostly a graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

INTS = (0, 1, -1, 2, 3, 7, 8, 9, 63, 64, 65, 255, 256, 1000, 65536, 10**6, -2, -7, -(10**6))
EXTREME_INTS = (2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**62, 2**63 - 1, -(2**63))
FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-8,
    1e-45,
    1e30,
    -1e30,
    3.4e38,
    float("inf"),
    float("-inf"),
    float("nan"),
)
TEXTS = (
    "",
    "x",
    "y",
    "LEAF",
    "BRANCH_EQ",
    "SUM",
    "same",
    "add",
    "a\0b",
    "ä" * 40,
    "z" * 5000,
    "ij,jk->ik",
    "...",
)
LOCATIONS = (
    "weights.bin",
    "./weights.bin",
    "../weights.bin",
    "/etc/hostname",
    "link.bin",
    "short.bin",
    "folder",
    "absent",
    "",
    "w" * 300,
    "a\0b",
    "folder/../weights.bin",
)
"""Of external data; the worker makes the files."""


def _int(random: Random) -> int:
    kind = random.random()
    if kind < 0.6:
        return random.choice(INTS)
    return random.choice(EXTREME_INTS) if kind < 0.75 else random.randint(-10, 70)


def _size(random: Random, old: int) -> int:
    """A size or index near the old one, mostly."""
    return old + random.choice((-2, -1, 1, 2, 3)) if random.random() < 0.6 else _int(random)


def _text(random: Random, graph: onnx.GraphProto) -> str:
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    return random.choice(names) if names and random.random() < 0.3 else random.choice(TEXTS)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for item in node.attribute:
            if item.type == AttributeProto.GRAPH:
                yield from _graphs(item.g)


def _graph(random: Random, model: onnx.ModelProto) -> onnx.GraphProto:
    found = list(_graphs(model.graph))
    return found[0] if random.random() < 0.6 else random.choice(found)


def _any_node(random: Random, model: onnx.ModelProto) -> onnx.NodeProto | None:
    nodes = _graph(random, model).node
    return random.choice(nodes) if nodes else None


def _values(graph: onnx.GraphProto) -> list[str]:
    names = [item.name for item in (*graph.input, *graph.initializer)]
    return names + [name for node in graph.node for name in node.output]


def change_attribute(random: Random, model: onnx.ModelProto) -> None:
    nodes = [node for graph in _graphs(model.graph) for node in graph.node if node.attribute]
    if not nodes:
        return
    item = random.choice(random.choice(nodes).attribute)
    if item.type == AttributeProto.INT:
        item.i = _clamp(_size(random, item.i))
    elif item.type == AttributeProto.FLOAT:
        item.f = random.choice(FLOATS)
    elif item.type == AttributeProto.STRING:
        item.s = _text(random, model.graph).encode() if random.random() < 0.9 else b"\xff\xfe"
    elif item.type == AttributeProto.INTS:
        _change_list(random, item.ints, lambda old: _clamp(_size(random, old)))
    elif item.type == AttributeProto.FLOATS:
        _change_list(random, item.floats, lambda old: random.choice(FLOATS))
    elif item.type == AttributeProto.STRINGS:
        _change_list(random, item.strings, lambda old: _text(random, model.graph).encode())
    elif item.type == AttributeProto.TENSOR:
        _change_tensor(random, item.t)


def _clamp(value: int) -> int:
    return max(-(2**63), min(2**63 - 1, value))


def _change_list(random: Random, values: Any, change: Callable[[Any], Any]) -> None:
    """Change, drop, repeat or swap an element of a repeated field."""
    kind = random.random()
    if not values:
        return
    place = random.randrange(len(values))
    if kind < 0.55:
        values[place] = change(values[place])
    elif kind < 0.7:
        del values[place]
    elif kind < 0.85:
        values.append(values[place])
    else:
        other = random.randrange(len(values))
        values[place], values[other] = values[other], values[place]


def remove_attribute(random: Random, model: onnx.ModelProto) -> None:
    node = _any_node(random, model)
    if node is not None and node.attribute:
        del node.attribute[random.randrange(len(node.attribute))]


def add_attribute(random: Random, model: onnx.ModelProto) -> None:
    """An attribute that the operator knows, with some value of its type."""
    node = _any_node(random, model)
    if node is None or not onnx.defs.has(node.op_type, node.domain):
        return
    known = onnx.defs.get_schema(node.op_type, node.domain).attributes
    if not known:
        return
    name = random.choice(sorted(known))
    kind = int(known[name].type.value)  # type: ignore[attr-defined]
    values: dict[int, Any] = {
        AttributeProto.INT: _int(random),
        AttributeProto.FLOAT: random.choice(FLOATS),
        AttributeProto.STRING: _text(random, model.graph),
        AttributeProto.INTS: [_int(random) for _ in range(random.randint(1, 4))],
        AttributeProto.FLOATS: [random.choice(FLOATS) for _ in range(random.randint(1, 4))],
        AttributeProto.STRINGS: [_text(random, model.graph) for _ in range(random.randint(1, 3))],
    }
    if kind in values:
        kept = [item for item in node.attribute if item.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, values[kind])])


def _change_tensor(random: Random, tensor: onnx.TensorProto) -> None:
    kind = random.random()
    if kind < 0.15 and tensor.dims:
        _change_list(random, tensor.dims, lambda old: _clamp(_size(random, old)))
        return
    if kind < 0.2:
        tensor.data_type = random.choice(TensorProto.DataType.values())
        return
    if kind < 0.25:
        tensor.raw_data = tensor.raw_data[: random.randint(0, len(tensor.raw_data))]
        return
    try:
        array = np.array(numpy_helper.to_array(tensor))
    except Exception:  # an earlier change made it unreadable
        return
    if kind < 0.75 and array.size:
        array = _with_element(random, array)
    elif kind < 0.85:
        array = array.reshape(random.choice([(-1,), (1, *array.shape), (*array.shape, 1), array.shape[::-1]]))
    elif array.ndim and kind < 0.95:
        array = np.repeat(array, random.choice((0, 2, 3)), axis=random.randrange(array.ndim))
    elif array.dtype.kind in "fiub":
        array = array.astype(
            random.choice([np.float32, np.int64, np.int32, np.float64, np.float16, np.uint8, np.bool_])
        )
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def _with_element(random: Random, array: np.ndarray) -> np.ndarray:
    place = random.randrange(array.size)
    flat = array.reshape(-1)
    if array.dtype.kind == "f":
        flat[place] = random.choice(FLOATS)
    elif array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        flat[place] = min(limits.max, max(limits.min, _size(random, int(flat[place]))))
    elif array.dtype.kind == "b":
        flat[place] = not flat[place]
    elif array.dtype.kind == "O":
        flat[place] = random.choice(TEXTS)
    return flat.reshape(array.shape)


def change_initializer(random: Random, model: onnx.ModelProto) -> None:
    graph = _graph(random, model)
    if graph.initializer:
        _change_tensor(random, random.choice(graph.initializer))


def change_input(random: Random, model: onnx.ModelProto) -> None:
    """Another size, rank or element type of an input or output."""
    graph = _graph(random, model)
    items = [*graph.input, *graph.output]
    if not items:
        return
    kind = random.choice(items).type.tensor_type
    if random.random() < 0.4:
        kind.elem_type = random.choice((1, 1, 2, 3, 6, 7, 7, 8, 9, 10, 11, 16, 99))
        return
    dims = kind.shape.dim
    choice = random.random()
    if choice < 0.3 or not dims:
        dims.add().dim_value = random.choice((1, 2, 4))
    elif choice < 0.5:
        del dims[random.randrange(len(dims))]
    elif choice < 0.8:
        random.choice(dims).dim_value = _clamp(_size(random, 3))
    else:
        random.choice(dims).dim_param = random.choice(("N", "M", "", "N*2"))


def rewire(random: Random, model: onnx.ModelProto) -> None:
    graph = _graph(random, model)
    nodes = [node for node in graph.node if node.input]
    if not nodes:
        return
    node = random.choice(nodes)
    place = random.randrange(len(node.input))
    node.input[place] = random.choice([*_values(graph), ""]) if random.random() < 0.95 else "nowhere"


def rewire_back(random: Random, model: onnx.ModelProto) -> None:
    """Another input that keeps the graph free of circles."""
    graph = model.graph
    if not graph.node:
        return
    place = random.randrange(len(graph.node))
    known = [item.name for item in (*graph.input, *graph.initializer)]
    known += [name for node in graph.node[:place] for name in node.output]
    node = graph.node[place]
    if node.input and known:
        node.input[random.randrange(len(node.input))] = random.choice(known)


def change_input_count(random: Random, model: onnx.ModelProto) -> None:
    node = _any_node(random, model)
    if node is None:
        return
    if node.input and random.random() < 0.5:
        del node.input[random.randrange(len(node.input))]
    else:
        node.input.append(random.choice([*_values(model.graph), ""]))


def change_outputs(random: Random, model: onnx.ModelProto) -> None:
    """Make another value an output, or one less."""
    graph = model.graph
    if len(graph.output) > 1 and random.random() < 0.4:
        del graph.output[random.randrange(len(graph.output))]
        return
    names = _values(graph)
    if names:
        graph.output.add().name = random.choice(names)


def remove_node(random: Random, model: onnx.ModelProto) -> None:
    graph = _graph(random, model)
    if graph.node:
        del graph.node[random.randrange(len(graph.node))]


def bypass_node(random: Random, model: onnx.ModelProto) -> None:
    """Put a node's first input in the place of its first output."""
    graph = _graph(random, model)
    nodes = [node for node in graph.node if node.input and node.output]
    if not nodes:
        return
    node = random.choice(nodes)
    old, new = node.output[0], node.input[0]
    for other in graph.node:
        for place, name in enumerate(other.input):
            if name == old:
                other.input[place] = new


def duplicate_node(random: Random, model: onnx.ModelProto) -> None:
    """Apply a node once more to its own result."""
    graph = _graph(random, model)
    nodes = [node for node in graph.node if node.input and node.output]
    if not nodes:
        return
    node = random.choice(nodes)
    again = copy.deepcopy(node)
    made = f"{node.output[0]}_again{len(graph.node)}"
    again.name = f"{node.name}_again"
    again.input[random.randrange(len(again.input))] = node.output[0]
    old = node.output[0]
    for other in graph.node:
        for place, name in enumerate(other.input):
            if name == old:
                other.input[place] = made
    again.output[0] = made
    graph.node.insert(list(graph.node).index(node) + 1, again)


def change_operator(random: Random, model: onnx.ModelProto) -> None:
    """Another operator with the same inputs: a random one of the standard, or of this model."""
    node = _any_node(random, model)
    if node is None:
        return
    if random.random() < 0.5:
        other = _any_node(random, model)
        if other is not None:
            node.op_type, node.domain = other.op_type, other.domain
    else:
        domain = "ai.onnx.ml" if random.random() < 0.2 else ""
        node.op_type, node.domain = random.choice(_operators(domain)), domain
    if random.random() < 0.7:
        del node.attribute[:]


def _operators(domain: str) -> list[str]:
    return sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == domain})


def change_opset(random: Random, model: onnx.ModelProto) -> None:
    if not model.opset_import:
        return
    entry = random.choice(model.opset_import)
    entry.version = random.choice((-1, 0, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 20, 22, 10**6))


def to_external(random: Random, model: onnx.ModelProto) -> None:
    """Refer to a file for an initialiser, with places and sizes that may be wrong."""
    if not model.graph.initializer:
        return
    tensor = random.choice(model.graph.initializer)
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    location = "weights.bin" if random.random() < 0.5 else random.choice(LOCATIONS)
    offset = random.choice((0, 0, 0, 1, 4, 64, 4095, 4096, -1, 2**40, 2**63))
    length = random.choice((size, size, size, 0, size + 1, 2**40, -1))
    entries: dict[str, str] = {"location": location, "offset": str(offset), "length": str(length)}
    if random.random() < 0.3:
        del entries[random.choice(sorted(entries))]
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


def rename(random: Random, model: onnx.ModelProto) -> None:
    """Another name of an input or node: long, empty, or taken."""
    items = [*model.graph.input, *model.graph.node, *model.graph.initializer]
    random.choice(items).name = _text(random, model.graph) if random.random() < 0.8 else "n" * 100_000


def constant_for_input(random: Random, model: onnx.ModelProto) -> None:
    """Turn an input into a constant, so that what follows is computed at load."""
    graph = model.graph
    if not graph.input:
        return
    item = random.choice(graph.input)
    shape = [dim.dim_value if 0 < dim.dim_value < 100 else 2 for dim in item.type.tensor_type.shape.dim]
    kind = item.type.tensor_type.elem_type
    array = np.zeros(shape, object if kind == TensorProto.STRING else np.float32 if kind == 1 else np.int64)
    if kind == TensorProto.STRING:
        array[...] = "a"
    graph.initializer.append(numpy_helper.from_array(array, item.name))
    if random.random() < 0.7:
        graph.input.remove(item)


def input_for_constant(random: Random, model: onnx.ModelProto) -> None:
    """Turn a constant into an input, so that indices, shapes and weights come with the call."""
    graph = model.graph
    if not graph.initializer:
        return
    tensor = random.choice(graph.initializer)
    graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    graph.initializer.remove(tensor)


MUTATIONS: tuple[Callable[[Random, onnx.ModelProto], None], ...] = (
    change_attribute,
    change_attribute,
    change_attribute,
    remove_attribute,
    add_attribute,
    add_attribute,
    change_initializer,
    change_initializer,
    change_initializer,
    change_input,
    change_input,
    rewire,
    rewire_back,
    rewire_back,
    change_input_count,
    change_outputs,
    remove_node,
    bypass_node,
    duplicate_node,
    duplicate_node,
    change_operator,
    change_operator,
    change_opset,
    to_external,
    rename,
    constant_for_input,
    input_for_constant,
)


def mutate(random: Random, model: onnx.ModelProto) -> None:
    """One change, in place. A change that does not fit the model does nothing."""
    random.choice(MUTATIONS)(random, model)
