"""What an operator is: its type rule, its row rule and its NumPy reference evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import numpy as np

from pyrec_infer.errors import IdRangeError, ModelError, ShapeError, UnsupportedModelError
from pyrec_infer.ir import ELEMENT_TYPES, Array, Info, Node, RowAxis, Rows, fault, has_symbol
from pyrec_infer.ops.core.traits import Flops, Trait, one_each

Evaluate: TypeAlias = Callable[[Node, Sequence[Array | None]], Sequence[Array]]
Infer: TypeAlias = Callable[[Node, Sequence[Info | None]], Sequence[Info]]
RowRule: TypeAlias = Callable[[Node, Sequence[Info | None], Sequence[Info]], "RowFlow"]


@dataclass(frozen=True, slots=True)
class RowFlow:
    """How rows pass through a node.

    Attributes
    ----------
    rows : tuple of int
        For each output the axis that holds the rows, or a member of `Rows`.
    coupled : bool
        Whether a row of an output can depend on another row of the batch, on the row's position or
        on the size of the batch. A coupled node only ever runs on the whole batch.
    """

    rows: tuple[RowAxis, ...]
    coupled: bool = False


def depends_on_batch_size(info: Info | None) -> bool:
    """Whether the elements of a small integer tensor are known to hold the batch size."""
    return (
        info is not None
        and info.contents is not None
        and any(has_symbol(item) for item in info.contents.reshape(-1))
    )


def couples(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    """The rule that is safe for every operator: any batch among the inputs couples the rows."""
    sized = any(map(depends_on_batch_size, inputs)) and any(info.contents is None for info in outputs)
    if not sized and all(info is None or info.rows == Rows.INVARIANT for info in inputs):
        return RowFlow((Rows.INVARIANT,) * len(outputs))
    return RowFlow((Rows.OPAQUE,) * len(outputs), coupled=True)


@dataclass(frozen=True, slots=True)
class Op:
    """One operator of the IR.

    Attributes
    ----------
    name : str
        As in `Node.op`: ``"Gemm"``, ``"ai.onnx.ml.Scaler"``.
    infer : callable
        ``infer(node, inputs) -> infos``: dtype and shape of each output. Inputs may be None (absent
        optional) and may have unknown dtype or shape; the rule then says what it can. It raises
        `ModelError` where the inputs can never fit.
    evaluate : callable
        ``evaluate(node, inputs) -> arrays``: the exact meaning, in NumPy. Raises an error of
        `pyrec_infer.errors` where the operator is undefined.
    rows : callable
        The row rule; the default is always sound.
    symbolic : bool
        Whether ``evaluate`` also works on object arrays that hold `Dim`, as shape arithmetic needs.
    traits : frozenset of Trait
    flops : callable
        Operations for one row; see `Flops`.
    check : callable
        ``check(node)`` raises `ModelError` where the attributes alone say that no input can be evaluated;
        it is called once, when a model is loaded.
    ids : int, optional
        Which input holds positions as data.
    given : mapping of str to type
        For an operator of the IR alone that readers of files make: what attributes they give it. All such
        operators have one input. Others of the IR alone are made by passes, and no file holds them.
    """

    name: str
    infer: Infer
    evaluate: Evaluate
    rows: RowRule = couples
    symbolic: bool = False
    traits: frozenset[Trait] = frozenset()
    flops: Flops = one_each
    check: Callable[[Node], object] = lambda node: None
    ids: int | None = None
    given: Mapping[str, type] = field(default_factory=dict)


_operators: dict[str, Op] = {}


def register(groups: Iterable[Sequence[Op]]) -> Mapping[str, Op]:
    """Make operators known to `lookup`; a name may occur once."""
    for op in (op for group in groups for op in group):
        if op.name in _operators:
            raise ValueError(f"operator {op.name} is registered twice")
        _operators[op.name] = op
    return MappingProxyType(_operators)


def lookup(name: str) -> Op | None:
    """The operator of that name: what modules read that the operators themselves need."""
    return _operators.get(name)


def has(node: Node | None, *traits: Trait) -> bool:
    """Whether there is a node and its operator has all these traits."""
    op = None if node is None else _operators.get(node.op)
    return op is not None and op.traits.issuperset(traits)


def ids_place(node: Node) -> int | None:
    """Which of a node's inputs holds positions as data, if one does."""
    op = _operators.get(node.op)
    return None if op is None else op.ids


def with_trait(trait: Trait) -> tuple[str, ...]:
    """The operators of a trait, for tables of rules."""
    return tuple(sorted(op.name for op in _operators.values() if trait in op.traits))


def boolean(value: object) -> bool:
    """An ONNX int flag, or a bool tensor of one element, as bool."""
    return bool(np.asarray(value).reshape(-1)[0])


Operand = TypeVar("Operand")


def optional(inputs: Sequence[Operand | None], index: int) -> Operand | None:
    """An input, or None where it is absent."""
    return inputs[index] if index < len(inputs) else None


def required(node: Node, inputs: Sequence[Operand | None], index: int) -> Operand:
    """An input that the operator cannot do without."""
    found = optional(inputs, index)
    if found is None:
        raise fault(ModelError, node, f"has no input {index}")
    return found


def id_error(rule: str, place: Sequence[int] | Array, shape: tuple[int, ...]) -> IdRangeError:
    """The error of an id at a place of an array of that shape, whose first axis is the rows."""
    if prod(shape[1:]) > 1:
        rule += f", at position {np.ravel_multi_index(tuple(place[1:]), shape[1:])}"
    return IdRangeError(rule, int(place[0]) if len(shape) else None)


def check_count(node: Node, count: int) -> None:
    """Refuse a size that no array can have; NumPy's arange wraps around at the largest ones."""
    if count > 1 << 48:
        raise fault(ShapeError, node, f"a result of {count} elements is too big")


def element_type(node: Node, key: str, default: str = "") -> np.dtype[Any]:
    """The element type that an attribute names.

    Raises
    ------
    UnsupportedModelError
        If it is none that tensors here can have.
    """
    name = node.attribute(key, default)
    found = ELEMENT_TYPES.get(name) if isinstance(name, str) else None
    if found is None:
        raise fault(UnsupportedModelError, node, f"no tensors of element type {name!r}")
    return found
