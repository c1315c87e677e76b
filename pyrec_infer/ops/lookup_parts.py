"""What a lookup reads, part by part: the one form in which passes and operators see its attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyrec_infer.codecs import find_codec
from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Attribute, Node, fault

NO_ID = -(2**31)
"""What a value gets that is in no table: no id, in integers of any width and in float32."""

LOOKUPS: Mapping[str, int] = {"pyrec.Lookup": 0, "pyrec.LookupSum": 1, "pyrec.ProductSum": 1}
"""The place of the first part among the inputs of each: sums have a bias before it."""


@dataclass(frozen=True)
class LookupPart:
    """Rows of a table for a column of ids, or numbers as they are.

    Attributes
    ----------
    source : str
        The value that gives the ids, or the numbers.
    table : str
        The table; empty for numbers.
    column : int
        Of the ids in their matrix; -1 where they are a vector.
    width : int
        Numbers that the part gives for a row.
    offset : int
        Bytes before the part in a row of the table.
    codec : str
        Of the table's numbers; empty for numbers as they are.
    """

    source: str
    table: str
    column: int
    width: int
    offset: int = 0
    codec: str = "f32"

    @classmethod
    def numbers(cls, source: str, width: int) -> LookupPart:
        """Numbers as they are."""
        return cls(source, "", -1, width, codec="")


def lookup_operands(node: Node) -> tuple[str, ...]:
    """The source and the table of each part, one after the other; weights follow them."""
    first, weights = LOOKUPS[node.op], len(node.attribute("multiplied", ()))
    return node.inputs[first : len(node.inputs) - weights]


def lookup_parts(node: Node) -> list[LookupPart]:
    """The parts of one of the `LOOKUPS`.

    Raises
    ------
    ModelError
        The parts are not described alike.
    UnsupportedModelError
        There is no such codec.
    """
    operands = lookup_operands(node)
    fields = [node.attribute(key, ()) for key in ("columns", "widths", "offsets", "codecs")]
    if len({len(operands) / 2, *map(len, fields)}) != 1:
        raise fault(ModelError, node, "its parts are not described alike")
    for codec in fields[-1]:
        if codec:
            find_codec(codec)
    return [
        LookupPart(source, table, int(column), int(width), int(offset), str(codec))
        for source, table, column, width, offset, codec in zip(
            operands[::2], operands[1::2], *fields, strict=True
        )
    ]


def make_lookup(
    op: str,
    output: str,
    parts: Sequence[LookupPart],
    *,
    bias: str = "",
    activation: str = "",
    label: str = "",
) -> Node:
    """A ``pyrec.Lookup`` of parts, or a ``pyrec.LookupSum`` of them and a bias; of a ``pyrec.ProductSum``
    what it has in common with that.

    Examples
    --------
    >>> node = make_lookup("pyrec.LookupSum", "y", [LookupPart("ids", "table", -1, 8)], bias="b")
    >>> node.inputs, lookup_parts(node)[0].width
    (('b', 'ids', 'table'), 8)
    """
    operands = tuple(name for part in parts for name in (part.source, part.table))
    attributes: dict[str, Attribute] = {
        "columns": tuple(part.column for part in parts),
        "widths": tuple(part.width for part in parts),
        "offsets": tuple(part.offset for part in parts),
        "codecs": tuple(part.codec for part in parts),
    }
    if activation:
        attributes["activation"] = activation
    inputs = (bias, *operands) if LOOKUPS[op] else operands
    return Node(op, inputs, (output,), attributes, name=label)


__all__ = ["LOOKUPS", "NO_ID", "LookupPart", "lookup_operands", "lookup_parts", "make_lookup"]
