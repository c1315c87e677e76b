"""Lookups made of parts, for passes that take them apart and join them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from pyrec_infer.ir import Node

LookupPart: TypeAlias = "tuple[str, str, tuple[int, int, int, str]]"
"""What gives the rows, the table (empty where the rows are the numbers), and what `parts_of` says of it."""


def make_lookup(
    op: str,
    output: str,
    parts: Sequence[LookupPart],
    bias: str,
    attributes: Mapping[str, Any],
    label: str,
) -> Node:
    """A lookup, or the sum of one, of parts given as source, table and description."""
    described = dict(
        zip(("columns", "offsets", "widths", "codecs"), zip(*(p[2] for p in parts), strict=True), strict=True)
    )
    operands = tuple(name for source, table, _ in parts for name in (source, table))
    inputs = (bias, *operands) if op == "pyrec.LookupSum" else operands
    return Node(op, inputs, (output,), {**attributes, **described}, name=label)


__all__ = ["LookupPart", "make_lookup"]
