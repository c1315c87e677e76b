"""ONNX protobufs to IR graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import AttributeProto, defs
from onnx import inliner as onnx_inliner

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.onnx.batch import DeclaredShape, find_batch
from pyrec_infer.formats.onnx.check import check_functions, check_node, operators, read_opsets, standard
from pyrec_infer.formats.onnx.fallback import foreign_node
from pyrec_infer.formats.onnx.files import dtype_of, parse_model, tensor_array, text_of
from pyrec_infer.formats.onnx.maker import Maker
from pyrec_infer.formats.onnx.narrow import NARROW, Narrow, require_widened
from pyrec_infer.formats.onnx.sparse import sparse_array
from pyrec_infer.formats.onnx.upgrade import RULES, upgrade
from pyrec_infer.formats.reading import ExternalFiles
from pyrec_infer.formats.source import Imported, Source
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import FOREIGN, STRING, Array, Attribute, Graph, Info, Node, as_texts, topological, verify
from pyrec_infer.limits import MAX_RANK
from pyrec_infer.ops import OPS

# In names of TensorFlow's operators, which its converters write into ONNX's domain.
_LOOKUPS = ("Hash", "Lookup", "StringToNumber", "Bucketize", "StaticRegexReplace", "AsString")


ELEMENT_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype"})
"""Attributes that hold ONNX's number of an element type, 0 for none; the IR has its name."""


def _kind_of(constant: onnx.NodeProto) -> int:
    """ONNX's number of the element type of a constant that is given as a tensor, or 0."""
    return next((item.t.data_type for item in constant.attribute if item.name == "value"), 0)


class _Converter:
    def __init__(self, opsets: Mapping[str, int], files: ExternalFiles | None) -> None:
        self.files = files
        self.opsets = opsets
        self.opset = opsets.get("ai.onnx", defs.onnx_opset_version())

    def name_of(self, node: onnx.NodeProto) -> str:
        return node.op_type if standard(node.domain) else f"{node.domain}.{node.op_type}"

    def attribute(self, item: onnx.AttributeProto) -> Attribute:
        kind = item.type
        if kind == AttributeProto.FLOAT:
            return float(item.f)
        if kind == AttributeProto.INT:
            return int(item.i)
        if kind == AttributeProto.STRING:
            return text_of(item.s, f"attribute {item.name!r}")
        if kind == AttributeProto.TENSOR:
            dtype_of(item.t.data_type, f"attribute {item.name!r}")
            return tensor_array(item.t, self.files)
        if kind == AttributeProto.FLOATS:
            return tuple(float(value) for value in item.floats)
        if kind == AttributeProto.INTS:
            return tuple(int(value) for value in item.ints)
        if kind == AttributeProto.STRINGS:
            return tuple(text_of(value, f"attribute {item.name!r}") for value in item.strings)
        raise UnsupportedModelError(f"attribute {item.name!r} is of a kind that is not supported")

    def constant(self, node: onnx.NodeProto) -> Array:
        for item in node.attribute:
            if item.name == "value":
                return tensor_array(item.t, self.files)
            if item.name == "sparse_value":
                return sparse_array(item.sparse_tensor, self.files)
            if item.name in ("value_float", "value_floats"):
                return np.asarray(self.attribute(item), np.float32)
            if item.name in ("value_int", "value_ints"):
                return np.asarray(self.attribute(item), np.int64)
            if item.name in ("value_string", "value_strings"):
                return as_texts(self.attribute(item))  # type: ignore[arg-type]
        raise UnsupportedModelError(f"constant {node.output[0]!r} has no value")

    def body(self, proto: onnx.GraphProto) -> tuple[Graph, tuple[str, ...]]:
        """A body with the outer values it reads; those are not yet among its inputs."""
        inputs = tuple(value.name for value in proto.input)
        nodes, constants = self.nodes(proto)
        local = set(inputs) | set(constants) | {name for node in nodes for name in node.outputs}
        used = dict.fromkeys(
            name
            for name in (*(n for node in nodes for n in node.inputs), *(o.name for o in proto.output))
            if name and name not in local
        )
        infos = {value.name: self.declared(value)[0] for value in proto.input}
        graph = Graph(inputs, tuple(value.name for value in proto.output), tuple(nodes), constants, infos)
        return graph, tuple(used)

    def close(
        self, bodies: Sequence[tuple[Graph, tuple[str, ...]]]
    ) -> tuple[tuple[Graph, ...], tuple[str, ...]]:
        """Give every body the union of the captured values as its last inputs."""
        captures = tuple(dict.fromkeys(name for _, used in bodies for name in used))
        closed = []
        for graph, _ in bodies:
            # A body may define a value of the same name as one that only its sibling captures.
            own = {*graph.inputs, *graph.constants, *graph.producers}
            names = tuple(f"{name}/captured" if name in own else name for name in captures)
            body = graph.with_(
                inputs=(*graph.inputs, *names),
                infos={**graph.infos, **{name: Info(None, None) for name in names}},
            )
            known = (*body.inputs, *body.constants)
            closed.append(body.with_(nodes=topological(body.nodes, known)))
        return tuple(closed), captures

    def node(self, proto: onnx.NodeProto, make: Maker) -> Sequence[Node]:
        check_node(proto, self.opsets)
        op = self.name_of(proto)
        inputs = tuple(proto.input)
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        attributes: dict[str, Attribute] = {}
        bodies: list[tuple[Graph, tuple[str, ...]]] = []
        graphs = {item.name: item.g for item in proto.attribute if item.type == AttributeProto.GRAPH}
        for item in proto.attribute:
            if item.type != AttributeProto.GRAPH:
                attributes[item.name] = self.attribute(item)
        if op not in OPS and op not in RULES:
            if graphs:
                raise UnsupportedModelError(f"unsupported operator {op} (node {proto.name!r}) with a body")
            # Composite operators of other domains are read by their plain attributes.
            foreign = foreign_node(proto, attributes, {"ai.onnx": self.opset, **self.opsets})
            attributes = {**attributes, FOREIGN: foreign}
            return [Node(op, inputs, tuple(proto.output), attributes, name=proto.name)]
        for key in ELEMENT_ATTRIBUTES & attributes.keys():
            if number := attributes.pop(key):
                attributes[key] = dtype_of(int(number), f"node {proto.name!r} ({op}): {key}").name  # type: ignore[arg-type]
        for key in ("then_branch", "else_branch", "body"):
            if key in graphs:
                bodies.append(self.body(graphs[key]))
        closed, captures = self.close(bodies)
        if captures:
            attributes["captures"] = len(captures)
            if op == "Loop":
                inputs = (*inputs, *[""] * (2 - len(inputs)))
        node = Node(op, (*inputs, *captures), tuple(proto.output), attributes, closed, proto.name)
        made = upgrade(node, self.opset, make)
        for item in made:
            if item.op in OPS:
                OPS[item.op].check(item)
        return made

    def nodes(self, proto: onnx.GraphProto) -> tuple[list[Node], dict[str, Array]]:
        constants: dict[str, Array] = {}
        narrow: dict[str, Narrow] = {}

        def define(name: str, value: Array, kind: int = 0) -> None:
            if name in constants:
                raise ModelError(f"value {name!r} is defined twice")
            constants[name] = value
            if kind in NARROW:
                narrow[name] = NARROW[kind]

        for tensor in proto.initializer:
            define(tensor.name, tensor_array(tensor, self.files), tensor.data_type)
        for sparse in proto.sparse_initializer:
            define(sparse.values.name, sparse_array(sparse, self.files))
        make = Maker()
        nodes: list[Node] = []
        for item in proto.node:
            if item.op_type == "Constant" and standard(item.domain):
                check_node(item, self.opsets)
                define(item.output[0], self.constant(item), _kind_of(item))
            else:
                nodes.extend(self.node(item, make))
        for name, value in make.constants.items():
            define(name, value)
        require_widened(nodes, [value.name for value in proto.output], narrow)
        return nodes, constants

    def declared(self, value: onnx.ValueInfoProto) -> tuple[Info, DeclaredShape | None]:
        kind = value.type.WhichOneof("value")
        if kind is None:
            return Info(None, None), None
        if kind != "tensor_type":
            return Info(None, None, sequence=kind == "sequence_type"), None
        tensor = value.type.tensor_type
        dtype = dtype_of(tensor.elem_type, f"value {value.name!r}") if tensor.elem_type else None
        if not tensor.HasField("shape"):
            return Info(dtype, None), None
        sizes: list[int | str | None] = []
        for dim in tensor.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value >= 0:
                sizes.append(int(dim.dim_value))
            else:
                sizes.append(dim.dim_param or None)
        if len(sizes) > MAX_RANK:
            raise UnsupportedModelError(
                f"value {value.name!r} has {len(sizes)} axes, expected at most {MAX_RANK}"
            )
        return Info(dtype, None), sizes


def _inline(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Replace local functions, and standard operators that are unknown here but defined by others."""
    if proto.functions:
        proto = onnx_inliner.inline_local_functions(proto)
    opset = next((entry.version for entry in proto.opset_import if standard(entry.domain)), None)
    if opset is None:
        return proto
    version = min(opset, defs.onnx_opset_version())
    refused: set[str] = set()
    while defined := _defined_by_others(proto, version) - refused:
        for op in sorted(defined):
            try:
                inlined = onnx_inliner.inline_selected_functions(
                    proto, [("", op)], inline_schema_functions=True
                )
            except (ValueError, RuntimeError) as error:
                # The inliner gives up on some absent optional inputs; the node itself stays.
                let_interrupts_pass(error)
                refused.add(op)
                continue
            if op in _defined_by_others(inlined, version):
                refused.add(op)
            proto = inlined
    return proto


def _defined_by_others(proto: onnx.ModelProto, version: int) -> set[str]:
    """Standard operators of the model that are unknown here but are functions of others.

    Their attributes get the values that are the default: the inliner leaves such out of the body.
    """
    found = set()
    for node in operators(proto.graph.node):
        if not standard(node.domain) or node.op_type in OPS or not defs.has(node.op_type):
            continue
        schema = defs.get_schema(node.op_type, version)
        if not (schema.has_function or schema.has_context_dependent_function):  # type: ignore[attr-defined]
            continue
        found.add(node.op_type)
        given = {item.name for item in node.attribute}
        node.attribute.extend(
            item.default_value
            for name, item in sorted(schema.attributes.items())
            if name not in given and item.default_value.name
        )
    return found


def _refuse_invalid(graph: onnx.GraphProto) -> None:
    """Refuse operators that exporters write into ONNX's domain although ONNX has none of that name."""
    invalid = [
        node
        for node in operators(graph.node)
        if standard(node.domain) and node.op_type not in OPS and not defs.has(node.op_type)
    ]
    if not invalid:
        return
    listed = ", ".join(f"{node.op_type} (node {node.name!r})" for node in invalid)
    advice = "Write what makes them with operators that ONNX has, and export again"
    if any(word in node.op_type for node in invalid for word in _LOOKUPS):
        advice = (
            "Hash or look up these features outside the graph, with the same scheme as in training, "
            "and export the model from the ids on"
        )
    raise UnsupportedModelError(
        f"unsupported operators: {listed}. ONNX has none of these names: "
        f"the exporter wrote an invalid model. {advice}"
    )


def read_onnx(source: Source) -> Imported:
    """An ONNX model as a closed graph of operators in the newest opset's form.

    Raises
    ------
    ModelError
        The file is damaged or inconsistent; `UnsupportedModelError` if it is neither but holds
        something that has no meaning here.
    """
    proto = parse_model(source)
    read_opsets(proto)
    check_functions(proto)
    _refuse_invalid(proto.graph)
    try:
        proto = _inline(proto)
    except MemoryError:
        raise
    except Exception as error:
        let_interrupts_pass(error)
        raise ModelError(f"the model's functions cannot be expanded: {error}") from error
    # Functions may bring operator sets of their own.
    converter = _Converter(read_opsets(proto), source.files)
    nodes, constants = converter.nodes(proto.graph)
    inputs = [value for value in proto.graph.input if value.name not in constants]
    declared = {value.name: converter.declared(value) for value in inputs}
    shapes: dict[str, DeclaredShape] = {}
    for name, (info, shape) in declared.items():
        if shape is None or info.dtype is None:
            raise UnsupportedModelError(f"input {name!r} declares no tensor type and rank")
        shapes[name] = shape
    outputs = {value.name: converter.declared(value)[1] or () for value in proto.graph.output}
    batch = find_batch(shapes, outputs)
    infos: Mapping[str, Info] = {
        name: Info(
            STRING if info.dtype is not None and info.dtype.kind == "U" else info.dtype,
            batch.shapes[name],
            batch.rows[name],
        )
        for name, (info, _) in declared.items()
    }
    names = tuple(value.name for value in inputs)
    graph = Graph(
        names,
        tuple(value.name for value in proto.graph.output),
        topological(nodes, (*names, *constants)),
        constants,
        infos,
        static_rows=int(batch.static_rows),
    )
    verify(graph, "import")
    overridable = {value.name for value in proto.graph.input} - set(names)
    return Imported(graph, frozenset(overridable), batch.fixed_rows, batch.presumed)


__all__ = ["ELEMENT_ATTRIBUTES", "read_onnx"]
