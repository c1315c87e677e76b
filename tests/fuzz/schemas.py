"""Random schemas, a model that takes what they make, and rows for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from pyrec_infer import features as f
from pyrec_infer.features.fields import Combination, Field, ListField
from pyrec_infer.features.transforms import Transform

from .values import SECRET_NUMBER, SECRET_TEXT

WORDS = ("a", "bb", "Zürich", " ẞ\t", "", "12", "-3", "longer than the twelve bytes of a view", "x,y", "İ")
WHOLE = (0, 1, 2, 3, 5, 11, -1, -4, 200, 1_790_000_000, -86_401)
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.75, -3.5, 1e-9, 12.0, 1234.5)
LARGE = (2**63 - 1, -(2**63), 2**53 + 1, 2**31, 2**24 + 1, -(2**24) - 1, 2**62)

CODES: Mapping[str, int] = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "str": TensorProto.STRING,
}


@dataclass
class Inputs:
    """The inputs of the model that is made for a schema."""

    shapes: dict[str, tuple[str, list[Any]]] = field(default_factory=dict)
    """Element type and axes of each."""

    columns: dict[str, list[int]] = field(default_factory=dict)
    """For a matrix of columns, the width of what feeds each of them."""

    def add(self, name: str, dtype: str, *rest: Any) -> str:
        self.shapes[name] = (dtype, ["N", *rest])
        return name

    def column(self, name: str, width: int) -> tuple[str, int]:
        widths = self.columns.setdefault(name, [])
        widths.append(max(width, 1))
        self.shapes[name] = ("float32", ["N", sum(widths)])
        return name, sum(widths[:-1])


def model(inputs: Inputs) -> onnx.ModelProto:
    """Each input as it is, and the weighted sum of all of them as the score."""
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, Any] = {"axes": np.asarray([1]), "none": np.float32([0.5])}
    parts = ["none"]
    for name, (dtype, axes) in inputs.shapes.items():
        nodes.append(helper.make_node("Identity", [name], [f"{name}/same"]))
        if dtype == "str":
            known = {"keys_strings": ["a", "12", "0"], "values_floats": [1.0, 2.0, 3.0]}
            made = [f"{name}/float"]
            nodes.append(helper.make_node("LabelEncoder", [name], made, domain="ai.onnx.ml", **known))
        else:
            nodes.append(helper.make_node("Cast", [name], [f"{name}/float"], to=TensorProto.FLOAT))
        part = f"{name}/float"
        if len(axes) > 1:
            weights = np.arange(1, axes[1] + 1, dtype=np.float32)
            constants[f"{name}/weights"] = weights
            nodes.append(helper.make_node("MatMul", [part, f"{name}/weights"], [f"{name}/sum"]))
            part = f"{name}/sum"
        parts.append(part)
    nodes.append(helper.make_node("Sum", parts, ["score"]))
    outputs: dict[str, Any] = {"score": (TensorProto.FLOAT, ["N"])}
    outputs |= {f"{name}/same": (CODES[dtype], axes) for name, (dtype, axes) in inputs.shapes.items()}
    given = {name: (CODES[dtype], axes) for name, (dtype, axes) in inputs.shapes.items()}
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info(name, *value) for name, value in given.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    sets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 4)]
    return helper.make_model(graph, opset_imports=sets, ir_version=10)


def _vocabulary(random: Random, kind: str) -> Transform:
    known: list[Any] = [*(WORDS if kind == "string" else WHOLE)]
    values = random.sample(known, random.randint(1, len(known)))
    oov = random.choice((0, 1, 1, 2, 3))
    mask = values.pop() if len(values) > 1 and random.random() < 0.3 else None
    return f.Vocabulary(values, oov, mask, oov_last=random.random() < 0.3)


def _hash(random: Random, kind: str) -> Transform:
    scheme = random.choice(("farmhash64", "keras", "mmh3_32", "xxh64", "md5", "spark_hash"))
    mask = random.choice(WORDS if kind == "string" else WHOLE) if random.random() < 0.3 else None
    return f.Hash(random.choice((1, 2, 10, 1000)), scheme, mask=mask)


def _lookup(random: Random, kind: str) -> Transform:
    keys = random.sample([*(WORDS if kind == "string" else WHOLE)], 3)
    return f.Lookup(keys, [random.choice(NUMBERS) for _ in keys], random.choice(NUMBERS))


def _clip(random: Random, kind: str) -> Transform:
    low, high = sorted(random.sample(NUMBERS, 2))
    return f.Clip(*random.choice(((low, high), (None, high), (low, None))))


_MADE: Mapping[str, tuple[Callable[[Random, str], Transform], ...]] = {
    "string": (
        _vocabulary,
        _vocabulary,
        _hash,
        _lookup,
        lambda random, kind: f.Text(random.choice(("lower", "upper", "strip"))),
        lambda random, kind: f.Prefix(random.choice(("", "city=", "ä"))),
    ),
    "integer": (
        _vocabulary,
        _hash,
        _lookup,
        lambda random, kind: f.Modulo(random.choice((1, 2, 7, 1000))),
        lambda random, kind: f.Shift(random.choice((0, 1, -3, 100))),
        lambda random, kind: f.DatePart(random.choice(("minute", "hour", "weekday", "day", "month", "year"))),
        lambda random, kind: f.Prefix(random.choice(("", "n="))),
    ),
    "number": (),
}
_OF_NUMBERS: tuple[Callable[[Random], Transform], ...] = (
    lambda random: f.Log1p(),
    lambda random: f.Standardise(random.choice(NUMBERS), random.choice((1.0, 0.5, -3.0))),
    lambda random: f.MinMax(-1.0, random.choice((0.0, 5.0))),
    lambda random: f.Sign(),
    lambda random: f.Bucketise(sorted(set(random.sample(NUMBERS, 4))), random.random() < 0.3),
    lambda random: _clip(random, "number"),
)


def _chain(random: Random, kind: Any, one: bool) -> list[Transform]:
    """Transforms that take what those before give; a one-hot last, for what is one value."""
    made: list[Transform] = []
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        if kind == "number" or (kind == "integer" and random.random() < 0.3):
            made.append(random.choice(_OF_NUMBERS)(random))
        else:
            made.append(random.choice(_MADE[kind])(random, kind))
        kind = made[-1].gives(kind)
    if one and kind == "integer" and random.random() < 0.2:
        made.append(f.OneHot(random.choice((1, 3, 12))))
    return made


def _default(random: Random, kind: str) -> Any:
    if kind == "string":
        return random.choice(WORDS)
    return random.choice(WHOLE if kind == "integer" else (*NUMBERS, 3))


def _input_type(random: Random, kind: str, transforms: list[Transform]) -> str:
    if kind == "string":
        return "str"
    if kind == "number":
        wide = bool(transforms and transforms[-1].width)
        return random.choice(("float32", "float32", "float64", *(("int64",) if wide else ())))
    return random.choice(("int64", "int64", "int32", "float32", "float64", "uint8", "float16"))


def _rules(random: Random, dtype: str, transforms: list[Transform], one: bool) -> dict[str, Any]:
    rules: dict[str, Any] = {"missing": random.choice(("error", "error", "default", "zero", "oov", "id"))}
    if rules["missing"] == "oov" and all(step.unknown() is None for step in transforms):
        rules["missing"] = "zero"
    kind = dtype
    for step in transforms:
        kind = step.gives(kind)  # type: ignore[arg-type]
    whole = kind == "integer" and not (transforms and transforms[-1].width)
    if rules["missing"] == "id" and not (one and whole):
        rules["missing"] = "error"
    if rules["missing"] == "default":
        rules["default"] = _default(random, dtype)
    if rules["missing"] == "id":
        rules["default"] = random.choice((0, 1, 5))
    if dtype == "number":
        rules["nan"] = random.choice(("error", "missing", "keep"))
        rules["infinity"] = random.choice(("error", "keep"))
    return rules


def _field(random: Random, name: str, inputs: Inputs) -> Field:
    dtype = random.choice(("string", "integer", "number"))
    transforms = _chain(random, dtype, one=True)
    made = Field(
        name,
        random.choice(("request", "item", "item", "candidate")),
        dtype=dtype,  # type: ignore[arg-type]
        transforms=transforms,
        **_rules(random, dtype, transforms, one=True),
    )
    return Field(**{**vars(made), "to": _targets(random, name, made.kinds()[-1], transforms, inputs)})


def _targets(random: Random, name: str, kind: str, transforms: list[Transform], inputs: Inputs) -> list[Any]:
    width = transforms[-1].width if transforms else 0
    found: list[Any] = []
    for place in range(random.choice((1, 1, 1, 2))):
        if kind != "string" and random.random() < 0.4:
            found.append(inputs.column(random.choice("XY"), width))
        else:
            rest = [width] if width else random.choice(([], [1]))
            found.append(inputs.add(f"{name}:{place}", _input_type(random, kind, transforms), *rest))
    return found


def _list_field(random: Random, name: str, inputs: Inputs) -> ListField:
    dtype = random.choice(("string", "string", "integer", "number"))
    transforms = _chain(random, dtype, one=False)
    length = random.choice((1, 2, 3, 5))
    own: dict[str, Any] = {
        "length": length,
        "keep": random.choice(("first", "last")),
        "pad": random.choice(("right", "left")),
        "most": random.choice((0, 0, 4)),
    }
    if dtype == "string" and random.random() < 0.3:
        own["separator"] = random.choice((",", "|", ", "))
    if random.random() < 0.4:
        own["lengths_to"] = inputs.add(f"{name}:lengths", random.choice(("int64", "int32", "float32")))
    if random.random() < 0.4:
        own["mask_to"] = inputs.add(f"{name}:mask", random.choice(("float32", "int64")), length)
    if random.random() < 0.3:
        own["weights"] = f"{name} weights"
        own["weights_to"] = inputs.add(f"{name}:weights", random.choice(("float32", "float64")), length)
    made = ListField(
        name,
        random.choice(("request", "item", "candidate")),
        dtype=dtype,  # type: ignore[arg-type]
        transforms=transforms,
        **own,
        **_rules(random, dtype, transforms, one=False),
    )
    kind = made.kinds()[-1]
    to: Any
    if kind != "string" and random.random() < 0.3:
        to = [inputs.column(random.choice("XY"), length)]
    else:
        to = [inputs.add(f"{name}:0", _input_type(random, kind, transforms), length)]
    padding = random.choice((0, 0, 1, 7)) if kind != "string" else 0
    return ListField(**{**vars(made), "to": to, "padding": padding})


def _combination(random: Random, name: str, known: list[Field | Combination], inputs: Inputs) -> Any:
    ones = [item for item in known if not isinstance(item, ListField)]
    singles = [item for item in ones if isinstance(item, Combination) or not item.flags_missing]
    plain = [item for item in singles if isinstance(item, Field)]
    kinds: dict[str, Any] = {item.name: item.dtype for item in plain}
    for item in singles:
        if isinstance(item, Combination):
            kinds[item.name] = item.kinds(kinds)[-1]
    ids = [
        item
        for item in singles
        if kinds[item.name] != "number" and not (isinstance(item, Combination) and item.width())
    ]
    whole = [item.name for item in plain if item.dtype == "integer"]
    by: Any = None
    how = random.choice(("again", "cross", "join", "since"))
    if how == "since" and len(whole) > 1:
        of, by = random.sample(whole, 2), f.Since(random.choice((None, 5, 2**24)))
    elif how in ("cross", "join") and len(ids) > 1:
        of = [item.name for item in random.sample(ids, random.choice((2, 2, 3)) if len(ids) > 2 else 2)]
        by = (
            f.Join(["_", ""][: len(of) - 1])
            if how == "join"
            else f.Cross(random.choice((1, 10, 1000)), random.choice(("tf_cross_v1", "tf_cross_v2")))
        )
    elif plain:
        of = [random.choice(plain).name]
    else:
        return None
    made = Combination(name, of, by)
    kind = made.kind([kinds[one] for one in of])
    transforms = _chain(random, kind, one=True)
    made = Combination(name, of, by, transforms=transforms)
    to = _targets(random, name, made.kinds(kinds)[-1], transforms, inputs)
    return Combination(name, of, by, to, transforms)


def schema(random: Random) -> tuple[list[Field | Combination], Inputs]:
    """Fields and combinations, and the inputs of the model that takes them."""
    inputs = Inputs()
    made: list[Field | Combination] = []
    for place in range(random.choice((1, 2, 3, 5, 8))):
        build = _list_field if random.random() < 0.4 else _field
        made.append(build(random, f"f{place}", inputs))
    for place in range(random.choice((0, 0, 1, 2))):
        one = _combination(random, f"c{place}", made, inputs)
        if one is not None:
            made.append(one)
    return made, inputs


def _value(random: Random, item: Field, hostile: float) -> Any:
    """A raw value; the more hostile, the likelier one that is refused."""
    odd = random.random()
    if odd < 0.15:
        allowed = item.missing != "error" if not isinstance(item, ListField) else item.missing == "default"
        if allowed or random.random() < hostile:
            return None
    if item.dtype == "string":
        return random.choice((*WORDS, SECRET_TEXT))
    if item.dtype == "integer":
        if odd > 1 - hostile:
            return random.choice(LARGE)
        return random.choice((*WHOLE, SECRET_NUMBER))
    if odd > 0.9 and (item.nan != "error" or random.random() < hostile):
        return math.nan
    if odd > 0.8 and (item.infinity == "keep" or random.random() < hostile):
        return random.choice((math.inf, -math.inf))
    return random.choice(
        (*NUMBERS, 7, float(SECRET_NUMBER), *((1e300,) if random.random() < hostile else ()))
    )


def _list(random: Random, item: ListField, hostile: float) -> Any:
    if random.random() < 0.1 and (item.missing != "error" or random.random() < hostile):
        return None
    most = item.most if item.most and random.random() > hostile else 7
    values = [_value(random, item, hostile) for _ in range(random.randint(0, most))]
    if values and set(values) == {None} and not item.separator:
        # In a dictionary of lists it is several rows without a list.
        return []
    if item.separator:
        kept = [value for value in values if value is not None and item.separator not in value]
        return item.separator.join(kept) if kept != [""] else "a"
    return values


def rows(random: Random, fields: list[Field], count: int, hostile: float) -> list[dict[str, Any]]:
    """Rows with a value, or None, for each of the fields."""
    made: list[dict[str, Any]] = []
    for _ in range(count):
        row: dict[str, Any] = {}
        for item in fields:
            if not isinstance(item, ListField):
                row[item.name] = _value(random, item, hostile)
                continue
            row[item.name] = _list(random, item, hostile)
            if item.weights:
                value = row[item.name]
                size = len(value.split(item.separator) if item.separator and value else value or ())
                size += random.random() < hostile
                row[item.weights] = [random.choice(NUMBERS) for _ in range(size)]
        made.append(row)
    return made
