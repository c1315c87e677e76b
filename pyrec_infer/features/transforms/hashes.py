"""Transforms that hash, equal to other systems bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from pyrec_infer.errors import PyrecError
from pyrec_infer.features.transforms.combine import Combine
from pyrec_infer.features.transforms.ids import is_of, whole
from pyrec_infer.features.transforms.transform import IDS, Kind, Transform
from pyrec_infer.hashing import CROSSES, SCHEMES, Modulo, Seed
from pyrec_infer.hashing.seeds import as_seed
from pyrec_infer.passes.common.writer import Writer

MODULOS = get_args(Modulo)


def _seed_of(scheme: Any, seed: Any, name: str | None) -> Seed:
    return as_seed(scheme, tuple(seed) if isinstance(seed, list) else seed, name)


@dataclass(frozen=True)
class Hash(Transform):
    """A bucket for each value, as `hash_to_bucket` has it.

    Parameters
    ----------
    buckets : int
    scheme : str
        See `hash_to_bucket`; schemes with a secret key are none of them.
    seed : int or pair of int, optional
    name_of_field : str, optional
        The ``name`` of `hash_to_bucket`.
    mask : str or int, optional
        A value whose bucket is 0; all others are from 1 on then, and what is missing by the rule "oov" is 0.
    modulo : str, optional
        ``"unsigned"``, ``"floor"`` or ``"abs"``, as of `hash_to_bucket`; by default that of the scheme.
    """

    buckets: int
    scheme: str = "farmhash64"
    seed: Any = None
    name_of_field: Any = None
    mask: Any = None
    modulo: Any = None
    name: ClassVar[str] = "hash"
    takes = IDS

    def gives(self, kind: Kind) -> Kind:
        return "integer"

    def largest(self, before: int | None) -> int | None:
        return self.buckets - 1

    def unknown(self) -> int | None:
        return None if self.mask is None else 0

    def borders(self) -> Iterator[Any]:
        yield self.mask

    def mistakes(self) -> Iterator[str]:
        yield from whole("buckets", self.buckets, 1)
        scheme = SCHEMES.get(self.scheme)
        if scheme is None or scheme.seeds == "key":
            known = [name for name, one in SCHEMES.items() if one.seeds != "key"]
            yield f"scheme: expected one of {', '.join(known)}"
            return
        if scheme.power_of_two and isinstance(self.buckets, int) and self.buckets & (self.buckets - 1):
            yield f"buckets: expected a power of two for scheme {self.scheme!r}"
        if self.modulo is not None and self.modulo not in MODULOS:
            yield f"modulo: expected one of {', '.join(MODULOS)}, or none"
        if self.mask is not None and not (is_of("string", self.mask) or is_of("integer", self.mask)):
            yield "mask: expected a string or a whole number"
        try:
            _seed_of(scheme, self.seed, self.name_of_field)
        except PyrecError as error:
            yield str(error)

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        start = _seed_of(SCHEMES[self.scheme], self.seed, self.name_of_field)
        first = int(self.mask is not None and self.buckets > 1)
        given = {"field": self.name_of_field, "mask": self.mask, "modulo": self.modulo}
        return writer.node(
            "pyrec.HashBucket",
            value,
            scheme=self.scheme,
            buckets=self.buckets - first,
            first=first,
            seed=(str(start.first), str(start.second)),
            **{key: item for key, item in given.items() if item is not None},
        )


@dataclass(frozen=True)
class Cross(Combine):
    """A bucket for the values of several fields together, as `cross_to_bucket` has it.

    Parameters
    ----------
    buckets : int
    scheme : str
    seed : int, optional
    """

    buckets: int
    scheme: str = "tf_cross_v1"
    seed: Any = None
    name: ClassVar[str] = "cross"

    def gives(self, kinds: Sequence[Kind]) -> Kind:
        return "integer"

    def largest(self) -> int | None:
        return self.buckets - 1

    def mistakes(self, kinds: Sequence[Kind]) -> Iterator[str]:
        yield from whole("buckets", self.buckets, 1)
        if self.scheme not in CROSSES:
            yield f"scheme: expected one of {', '.join(CROSSES)}"
            return
        if "number" in kinds:
            yield "takes fields of type string or integer, got number"
        try:
            _seed_of(CROSSES[self.scheme], self.seed, None)
        except PyrecError as error:
            yield str(error)

    def write(self, writer: Writer, values: Sequence[str], kinds: Sequence[Kind]) -> str:
        start = _seed_of(CROSSES[self.scheme], self.seed, None)
        return writer.node(
            "pyrec.CrossBucket",
            *values,
            scheme=self.scheme,
            buckets=self.buckets,
            seed=(str(start.first), str(start.second)),
        )


__all__ = ["MODULOS", "Cross", "Hash"]
