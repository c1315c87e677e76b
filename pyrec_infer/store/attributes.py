"""What is known of items besides their records: strings, numbers and booleans by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from itertools import count
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import as_columns, read_gaps
from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.ir import Array
from pyrec_infer.strings import Texts

NO_CODE, NO_NUMBER, NO_FLAG = np.uint32(0), np.int64(-(2**63)), np.int8(-1)
"""What is stored where a string, a whole number or a boolean is missing; a float is NaN there."""

_FEW_TEXTS = 64
"""Strings of which finding equal ones first takes longer than it saves."""

_STORED = {"U": np.uint32, "i": np.int64, "b": np.int8}

_KINDS = {"U": "strings", "i": "whole numbers", "b": "booleans", "f": "numbers"}


class Attribute:
    """One attribute: its type, and the numbers that stand for its strings.

    A number never stands for another string, so what is stored never changes its meaning.

    Parameters
    ----------
    name : str
    dtype : dtype
        Of the first values.
    """

    def __init__(self, name: str, dtype: np.dtype[Any]) -> None:
        self.name = name
        self.kind = {"u": "i"}.get(dtype.kind, dtype.kind)
        wide = np.float32 if dtype.itemsize <= 4 else np.float64
        self.dtype: np.dtype[Any] = np.dtype(_STORED.get(self.kind, wide))
        self._codes: dict[bytes, int] = {}
        self._fresh = count(1)

    @property
    def label(self) -> str:
        return f"attribute '{self.name}'"

    @property
    def expected(self) -> str:
        return _KINDS[self.kind]

    def code_of(self, word: bytes) -> int:
        """The number of a string; 0 if no item has it."""
        return self._codes.get(word, 0)

    def words_of(self, codes: list[int]) -> list[bytes]:
        """The strings of numbers."""
        words = {code: word for word, code in list(self._codes.items())}
        return [words[code] for code in codes]

    @property
    def words(self) -> int:
        """How many strings have a number."""
        return len(self._codes)

    def only(self, used: Callable[[], Array]) -> Attribute:
        """The same without the strings whose numbers are not among those that are used."""
        if self.kind != "U":
            return self
        made = copy(self)
        kept = set(np.unique(used()).tolist())
        made._codes = {word: code for word, code in list(self._codes.items()) if code in kept}
        return made

    def encode(self, values: Texts | Array | None, gone: NDArray[np.bool_] | None, size: int) -> Array:
        """What is stored for values; borrowed where they are stored as they are.

        Raises
        ------
        DTypeError
            If they are of another type, or are no numbers that the attribute holds; names the row.
        """
        if values is None:
            return np.full(size, self.absent, self.dtype)
        if isinstance(values, Texts) != (self.kind == "U"):
            got = "strings" if isinstance(values, Texts) else values.dtype
            raise DTypeError(f"{self.label}: expected {self.expected}, got {got}")
        stored = (
            self._encode_texts(values) if isinstance(values, Texts) else self._encode_numbers(values, gone)
        )
        if gone is not None:
            stored[gone] = self.absent
        return stored

    @property
    def absent(self) -> Any:
        """What is stored where a value is missing."""
        return {"U": NO_CODE, "i": NO_NUMBER, "b": NO_FLAG}.get(self.kind, np.nan)

    def is_absent(self, stored: Array) -> NDArray[np.bool_]:
        """Where a value is missing."""
        return np.isnan(stored) if self.kind == "f" else stored == self.absent

    def _encode_texts(self, texts: Texts) -> Array:
        if len(texts) > _FEW_TEXTS:
            texts = texts.grouped()
        words = texts.words()
        # Another thread may take a number between the two steps: then one is never used.
        for word in {word for word in words if word not in self._codes}:
            self._codes.setdefault(word, next(self._fresh))
        codes = np.fromiter(map(self._codes.__getitem__, words), np.uint32, len(words))
        return texts.spread(codes).copy()

    def _encode_numbers(self, values: Array, gone: NDArray[np.bool_] | None) -> Array:
        fits = values.dtype.kind == "b" if self.kind == "b" else values.dtype.kind in "iuf"
        if not fits:
            raise DTypeError(f"{self.label}: expected {self.expected}, got {values.dtype}")
        if values.dtype == self.dtype and gone is None:
            if self.kind == "i":
                self._refuse(values == NO_NUMBER, "whole numbers of 64 bits")
            return values
        with np.errstate(all="ignore"):
            stored = values.astype(self.dtype)
        present = np.ones(len(values), np.bool_) if gone is None else ~gone
        if values.dtype.kind == "f":
            present &= ~np.isnan(values)
        if self.kind == "i":
            with np.errstate(all="ignore"):
                whole = stored.astype(values.dtype) == values
            inside = (values >= -(2.0**63)) & (values < 2.0**63) if values.dtype.kind == "f" else True
            wrong = present & ~(whole & inside & (stored != NO_NUMBER) & ((stored < 0) == (values < 0)))
            self._refuse(wrong, "whole numbers of 64 bits")
            stored[~present] = NO_NUMBER
        elif self.kind == "f" and values.dtype.kind == "f":
            self._refuse(present & np.isinf(stored) & ~np.isinf(values), f"numbers that {self.dtype} holds")
        elif self.kind == "f":
            self._refuse(stored.astype(values.dtype) != values, f"numbers that {self.dtype} holds")
        return stored

    def _refuse(self, wrong: NDArray[np.bool_], expected: str) -> None:
        if wrong.any():
            raise DTypeError(f"{self.label}: expected {expected} (row {int(np.argmax(wrong))})")


Columns: TypeAlias = Mapping[str, tuple[Texts | Array | None, NDArray[np.bool_] | None]]


def read_attributes(given: Any) -> Columns:
    """The values of each attribute, and which are missing: see `read_gaps`.

    Parameters
    ----------
    given : mapping of str to array_like, or table, or None
    """
    columns = {} if given is None else as_columns(given, "attributes: expected arrays by their names")
    if not all(isinstance(name, str) for name in columns):
        raise InputError("attributes: expected names that are strings")
    return {name: read_gaps(f"attribute '{name}'", column) for name, column in columns.items()}


def length_of(values: Texts | Array | None, gone: NDArray[np.bool_] | None) -> int:
    """How many values a column of `read_attributes` has."""
    if values is not None:
        return len(values)
    return 0 if gone is None else len(gone)


class Attributes:
    """The attributes of the items of a store, and how they lie in a part of the records.

    Parameters
    ----------
    columns : mapping
        Those of the first items, which tell the types.

    Raises
    ------
    DTypeError
        If the values of one tell no type.
    """

    def __init__(self, columns: Columns) -> None:
        self.by_name: dict[str, Attribute] = {}
        for name, (values, _) in columns.items():
            if values is None:
                raise DTypeError(
                    f"attribute '{name}': expected values that tell its type, got none: an empty array of a "
                    "type will do"
                )
            dtype = np.dtype("U") if isinstance(values, Texts) else values.dtype
            self.by_name[name] = Attribute(name, dtype)
        # Wide ones first: all are aligned.
        ordered = sorted(self.by_name.values(), key=lambda each: -each.dtype.itemsize)
        self._record = np.dtype([(f"v{i}", each.dtype) for i, each in enumerate(ordered)])
        widest = max((each.dtype.itemsize for each in ordered), default=1)
        self.stride = -(-self._record.itemsize // widest) * widest
        """Bytes of a record's part."""
        self._places = {each.name: f"v{i}" for i, each in enumerate(ordered)}

    def __len__(self) -> int:
        return len(self.by_name)

    @property
    def words(self) -> int:
        """How many strings have a number, of all attributes together."""
        return sum(each.words for each in self.by_name.values())

    def only(self, used: Callable[[str], Array]) -> Attributes:
        """The same without the strings that none of some stored values is, which are given by name."""
        made = copy(self)
        made.by_name = {name: each.only(partial(used, name)) for name, each in self.by_name.items()}
        return made

    def find(self, name: object) -> Attribute:
        """The attribute of a name.

        Raises
        ------
        InputError
            If there is none.
        """
        found = self.by_name.get(name) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(sorted(self.by_name)) or "there are none"
            got = f"'{name}'" if isinstance(name, str) else type(name).__name__
            raise InputError(f"attributes: expected the name of one of them ({known}), got {got}")
        return found

    def encode(self, columns: Columns, size: int) -> NDArray[np.uint8]:
        """The parts of records of as many items.

        Raises
        ------
        InputError
            If not exactly these attributes are given; `ShapeError` if there is not a value for each item.
        """
        for name in self.by_name:
            if name not in columns:
                raise InputError(f"attribute '{name}': expected a value for each item, got none")
        records = np.zeros((size, self.stride), np.uint8)
        for name, (values, gone) in columns.items():
            attribute = self.find(name)
            length = length_of(values, gone)
            if length != size:
                raise ShapeError(
                    f"{attribute.label}: expected {size} values, one for each item, got {length}"
                )
            self.column(name, records)[...] = attribute.encode(values, gone, size)
        return records

    def column(self, name: str, part: NDArray[np.uint8]) -> Array:
        """What is stored of an attribute in a part of records; borrowed."""
        place = self._places[name]
        return part[:, : self._record.itemsize].view(self._record)[place].reshape(len(part))


__all__ = ["Attribute", "Attributes", "Columns", "length_of", "read_attributes"]
