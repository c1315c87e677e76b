"""Operators that hash strings and whole numbers; see `pyrec_infer.hashing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.hashing import CROSSES, SCHEMES, Scheme, Seed
from pyrec_infer.hashing.seeds import of_key
from pyrec_infer.ir import Array, Info, Node, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, required
from pyrec_infer.ops.core.shapes import broadcast
from pyrec_infer.strings.column import column_of
from pyrec_infer.strings.crosses import crossed
from pyrec_infer.strings.hashes import hashes_of, name_in_front, to_buckets

_INT64 = np.dtype(np.int64)


def _scheme(node: Node, known: Mapping[str, Scheme]) -> Scheme:
    found = known.get(str(node.attribute("scheme", "")))
    least = 0 if node.attribute("key") is not None else 1
    if found is None or int(node.attribute("buckets", 0)) < least:
        raise fault(ModelError, node, "unknown scheme, or no buckets")
    return found


def _seed(node: Node, scheme: Scheme) -> Seed:
    key = node.attribute("key")
    if key is not None:
        return of_key(scheme, key.reveal())
    # Numbers of 64 bits without a sign, which attributes do not hold.
    first, second = (int(text) for text in node.attribute("seed", ("0", "0")))
    return Seed(first, second)


def _prefix(node: Node, scheme: Scheme) -> bytes:
    """What is hashed in front of each string."""
    return name_in_front(scheme, node.attribute("field")) + str(node.attribute("before", "")).encode()


def _hash_bucket(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = required(node, inputs, 0)
    scheme = _scheme(node, SCHEMES)
    hashes, _ = hashes_of(node.name, column_of(x), scheme, _seed(node, scheme), _prefix(node, scheme))
    buckets, first = int(node.attribute("buckets", 0)), int(node.attribute("first", 0))
    if not buckets:
        return [hashes.view(np.int64).reshape(x.shape)]
    made = to_buckets(hashes, scheme, node.attribute("modulo"), buckets, first).reshape(x.shape)
    mask = node.attribute("mask")
    return [made if mask is None else np.where(np.asarray(x == mask, np.bool_), np.int64(0), made)]


def _infer_hash_bucket(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [Info(_INT64, required(node, inputs, 0).shape)]


def _cross_bucket(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    present = np.broadcast_arrays(*[required(node, inputs, i) for i in range(len(inputs))])
    scheme = _scheme(node, CROSSES)
    columns = [column_of(np.ascontiguousarray(x)) for x in present]
    labels = [f"{node.name}, value {i}" for i in range(len(columns))]
    hashes = crossed(labels, columns, scheme, _seed(node, scheme))
    made = to_buckets(hashes, scheme, None, int(node.attribute("buckets", 0)), 0)
    return [made.reshape(present[0].shape)]


def _infer_cross_bucket(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [Info(_INT64, broadcast([required(node, inputs, i).shape for i in range(len(inputs))]))]


def native_attributes(node: Node) -> dict[str, Any]:
    """What C++ has to know of the scheme that a node hashes by; nothing for other nodes."""
    if node.attribute("key") is not None:
        # A key is read where it is used, at each call.
        return {"in_python": 1}
    if node.op == "pyrec.HashBucket":
        scheme, mask = _scheme(node, SCHEMES), node.attribute("mask")
        return {
            "algorithm": scheme.algorithm,
            "modulo": node.attribute("modulo", scheme.modulo),
            "narrow": int(scheme.bits == 32),
            "prefix": _prefix(node, scheme).decode(),
            "masked": int(mask is not None),
            "mask_text": mask if isinstance(mask, str) else "",
            "mask_number": mask if isinstance(mask, int) else 0,
            "digits": int(scheme.of_numbers is None and scheme.numbers in ("decimal", "keras")),
        }
    if node.op == "pyrec.CrossBucket":
        scheme = _scheme(node, CROSSES)
        return {"joins": int(not scheme.null_is_seed), "keyed": int(scheme.name != "tf_cross_v2")}
    return {}


OPS: tuple[Op, ...] = (
    Op("pyrec.HashBucket", _infer_hash_bucket, _hash_bucket, rows.elementwise),
    Op("pyrec.CrossBucket", _infer_cross_bucket, _cross_bucket, rows.elementwise),
)
