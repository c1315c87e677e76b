"""Numbers that stand for people, and that nobody without the key can turn back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.keys import KEYED, place_mistakes, read_key
from pyrec_infer.features.transforms.ids import whole
from pyrec_infer.features.transforms.transform import IDS, Kind, Transform
from pyrec_infer.passes.common.writer import Writer


@dataclass(frozen=True)
class Pseudonym(Transform):
    """A number in place of a string, or of the decimal digits of a whole number, by a secret key.

    Equal to `fingerprint` by the same key, as a number with a sign; with ``buckets`` to `hash_to_bucket`.
    Whoever has no key cannot find out whose it is by trying all ids, as they can where a hash has none.

    Parameters
    ----------
    key : str
        Where the key stands when a model is loaded: ``"env:NAME"`` for an environment variable,
        ``"file:PATH"`` for a file; as hexadecimal digits, 32 for SipHash, 32 to 128 for BLAKE2b. The key
        is in no schema, pickle, file, message or explanation. A pickled model reads it again.
    scheme : str
        ``"siphash24"`` (SipHash-2-4, whose two numbers are the key's bytes with the lowest first) or
        ``"blake2b"`` (with a digest of 8 bytes).
    buckets : int
        0 for all 64 bits.
    """

    key: str
    scheme: str = "siphash24"
    buckets: int = 0
    name: ClassVar[str] = "pseudonym"
    takes = IDS

    def gives(self, kind: Kind) -> Kind:
        return "integer"

    def largest(self, before: int | None) -> int | None:
        return self.buckets - 1 if self.buckets else 2**63 - 1

    def mistakes(self) -> Iterator[str]:
        yield from whole("buckets", self.buckets, 0)
        if self.scheme not in KEYED:
            yield f"scheme: expected one of {', '.join(KEYED)}"
        yield from place_mistakes(self.key)

    def absent(self) -> Iterator[str]:
        try:
            read_key(self.key, KEYED[self.scheme])
        except SchemaError as error:
            yield str(error)

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        key = read_key(self.key, KEYED[self.scheme])
        return writer.node("pyrec.HashBucket", value, scheme=self.scheme, buckets=self.buckets, key=key)


__all__ = ["Pseudonym"]
