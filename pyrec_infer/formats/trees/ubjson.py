"""Universal Binary JSON, as XGBoost writes it: values to plain Python objects, arrays of one type to NumPy's.

Strict: a marker that is not known, a length that the file does not hold, a key twice, nesting beyond
`MAX_DEPTH` and what follows the value are errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.interrupts import let_interrupts_pass

MAX_DEPTH = 64

_NUMBERS = {
    b"i": ">i1",
    b"U": ">u1",
    b"I": ">i2",
    b"l": ">i4",
    b"L": ">i8",
    b"d": ">f4",
    b"D": ">f8",
}
_WORDS = {b"T": True, b"F": False, b"Z": None}


class _Reader:
    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.at = data, where, 0

    def fail(self, rule: str) -> ModelError:
        return ModelError(f"{self.where}: {rule} at byte {self.at}; the file is damaged or truncated")

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise self.fail(f"expected {count} more bytes")
        self.at += count
        return self.data[self.at - count : self.at]

    def next_is(self, marker: bytes) -> bool:
        """Whether the marker comes next; then it is behind."""
        found = self.data[self.at : self.at + 1] == marker
        self.at += found
        return found

    def numbers(self, marker: bytes, count: int) -> np.ndarray[Any, Any]:
        dtype = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self.take(count * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))

    def length(self) -> int:
        marker = self.take(1)
        if marker not in _NUMBERS or marker in (b"d", b"D"):
            raise self.fail("expected a length")
        count = int(self.numbers(marker, 1)[0])
        if count < 0:
            raise self.fail("expected a length")
        return count

    def text(self) -> str:
        data = self.take(self.length())
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            let_interrupts_pass(error)
            raise self.fail("expected UTF-8") from None

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self.fail(f"values lie more than {MAX_DEPTH} deep")
        if marker in _NUMBERS:
            return self.numbers(marker, 1)[0].item()
        if marker in _WORDS:
            return _WORDS[marker]
        if marker == b"S":
            return self.text()
        if marker == b"[":
            return self.array(depth)
        if marker == b"{":
            return self.object(depth)
        raise self.fail("an unknown marker")

    def head(self) -> tuple[bytes, int]:
        """The type of all elements and their number, where the container says them."""
        kind = self.take(1) if self.next_is(b"$") else b""
        if self.next_is(b"#"):
            return kind, self.length()
        if kind:
            raise self.fail("expected a length behind a type")
        return b"", -1

    def array(self, depth: int) -> Any:
        kind, count = self.head()
        if kind in _NUMBERS:
            return self.numbers(kind, count)
        if kind and kind not in (b"S", b"[", b"{"):
            # Elements of no bytes could be any number.
            raise self.fail("an array of a type without bytes")
        found: list[Any] = []
        while count != len(found):
            if count < 0 and self.next_is(b"]"):
                break
            found.append(self.value(kind or self.take(1), depth + 1))
        return found

    def object(self, depth: int) -> dict[str, Any]:
        kind, count = self.head()
        if kind:
            raise self.fail("an object of one type")
        found: dict[str, Any] = {}
        while count != len(found):
            if count < 0 and self.next_is(b"}"):
                break
            # XGBoost leaves out the marker of strings in front of keys.
            key = self.text()
            if key in found:
                raise self.fail("a key occurs twice")
            found[key] = self.value(self.take(1), depth + 1)
        return found


def parse_ubjson(data: bytes, where: str) -> Any:
    """The value that a file holds.

    Parameters
    ----------
    data : bytes
    where : str
        What the file is called in messages.

    Raises
    ------
    ModelError
        Names the byte where the rules are broken.

    Examples
    --------
    >>> parse_ubjson(b"{U\\x01a[$U#U\\x02\\x05\\x07}", "the model")
    {'a': array([5, 7], dtype=uint8)}
    """
    reader = _Reader(data, where)
    found = reader.value(reader.take(1), 0)
    if reader.at != len(data):
        raise reader.fail("expected the end")
    return found


__all__ = ["MAX_DEPTH", "parse_ubjson"]
