"""The inputs of a model by name, and how a call's arguments map to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyrec_infer.arguments.arrays import as_array, regular
from pyrec_infer.arguments.raw_rows import RawRows
from pyrec_infer.arguments.scalars import as_names
from pyrec_infer.arguments.tables import as_arrays, as_columns
from pyrec_infer.errors import (
    IdRangeError,
    InputError,
    MissingInputError,
    RowCountError,
    ShapeError,
    UnexpectedInputError,
)
from pyrec_infer.ir import Array, Info
from pyrec_infer.strings.tensors import as_plain, is_tensor


def with_rows(name: str, array: Array, info: Info, rows: int | None) -> Array:
    """The array with the model's rank; a row axis or axes of size 1 may be left out, also those in front of
    the rows, and a vector may be given as one column.

    Parameters
    ----------
    rows : int or None
        1 if the value belongs to a single request and may come without a row axis; else None.

    Raises
    ------
    ShapeError
        If the rank cannot be made to fit.
    """
    assert info.shape is not None
    rank, axis = len(info.shape), info.rows
    lead = rank - array.ndim
    if (
        lead > 0
        and (axis < 0 or lead <= axis)
        and all(isinstance(size, int) and size == 1 for size in info.shape[:lead])
    ):
        return array.reshape((1,) * lead + array.shape)
    if lead == 0 or axis < 0:
        return array
    rest = [size for i, size in enumerate(info.shape) if i != axis]
    ones = all(isinstance(size, int) and size == 1 for size in rest)
    if rows == 1 and array.ndim == rank - 1 and not (ones and array.size != 1):
        return array.reshape((*array.shape[:axis], 1, *array.shape[axis:]))
    if array.ndim <= 1 and ones:
        return array.reshape([array.size if i == axis else 1 for i in range(rank)])
    if array.ndim == 2 and rank == 1 and array.shape[1] == 1:
        return array.reshape(array.shape[:1])
    raise ShapeError(f"input '{name}': expected rank {rank}, got shape {list(array.shape)}")


class Signature:
    """The inputs of a model by name, and how a call's arguments map to them.

    Parameters
    ----------
    infos : mapping of str to Info
        The inputs in order.
    columns : mapping of str to sequence of str
        Matrix inputs whose columns became inputs of their own.
    ignored : frozenset of str
        Names that a call may give without effect.
    raw : RawRows, optional
        Raw rows, which some of the inputs are made of.
    """

    def __init__(
        self,
        infos: Mapping[str, Info],
        columns: Mapping[str, Sequence[str]],
        ignored: frozenset[str],
        raw: RawRows | None = None,
    ) -> None:
        self.infos = infos
        self.columns = columns
        self.ignored = ignored
        self._raw = raw
        self._names = frozenset((*infos, *columns, *ignored))

    def expand(self, values: Any) -> dict[str, Any]:
        """Split matrices whose columns are inputs, and refuse names that the model never had.

        Takes mappings and tables; see `as_columns`.
        """
        values = as_columns(values) if self._raw is None else self._raw.columns(values, self._names)
        found: dict[str, Any] = {}
        for name, value in values.items():
            if name in self.columns:
                given = [label for label in self.columns[name] if label in values]
                if given:
                    raise InputError(f"input '{given[0]}' is given twice, also as a column of '{name}'")
                labels = self.columns[name]
                matrix = regular(f"input '{name}'", value)
                if matrix.ndim == 1:
                    matrix = matrix[None, :]
                if matrix.ndim != 2 or matrix.shape[1] != len(labels):
                    raise ShapeError(
                        f"input '{name}': expected {len(labels)} columns, got shape {list(matrix.shape)}"
                    )
                for label in dict.fromkeys(labels):
                    chosen = [i for i, other in enumerate(labels) if other == label]
                    found[label] = matrix[:, chosen[0]] if len(chosen) == 1 else matrix[:, chosen]
            elif self._is_input(name):
                found[name] = value
        return found

    def as_arrays(self, request: Any, candidates: Any) -> tuple[Any, Any]:
        """Both sides, tables as arrays where they are no more than that; of raw rows, a table says more."""
        if self._raw is not None:
            return request, candidates
        return as_arrays(request), as_arrays(candidates)

    def expand_sides(self, request: Any, candidates: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Both sides of a call; a list of no raw rows is of what the request does not give."""
        own = self.expand(request)
        rest = [name for name in self.infos if name not in own]
        return own, self.expand(self.with_fields(candidates, rest))

    def with_fields(self, values: Any, inputs: Collection[str]) -> Any:
        """The values, and where they are a list of no raw rows, columns of none for these inputs."""
        if self._raw is None or not isinstance(values, (list, tuple)) or len(values):
            return values
        # In one dimension, nothing would be one row of a field of lists.
        return {name: np.empty((0, 1)) for name in self._raw.reading(inputs)}

    def expand_names(self, names: Iterable[str]) -> list[str]:
        """The inputs that the names stand for: a matrix stands for its columns."""
        found: list[str] = []
        for name in as_names("inputs", names):
            if self._raw is not None and name in self._raw.fields:
                found.extend(self._raw.names(name))
            elif name in self.columns:
                found.extend(dict.fromkeys(self.columns[name]))
            elif self._is_input(name):
                found.append(name)
        return found

    def names_of(self, inputs: Collection[str]) -> frozenset[str]:
        """What calls may give these inputs by: their names, matrices with columns that they are, and fields
        of raw rows."""
        matrices = [name for name, labels in self.columns.items() if not set(labels).isdisjoint(inputs)]
        if self._raw is None:
            return frozenset((*inputs, *matrices))
        plain = set(inputs) - self._raw.hidden()
        return frozenset((*plain, *matrices, *self._raw.reading(inputs)))

    @property
    def takes_rows(self) -> bool:
        """Whether calls take raw rows."""
        return self._raw is not None

    def require_fields(self, names: Sequence[str], needed: Sequence[str]) -> None:
        """See `RawRows.require_names`; nothing where calls take no raw rows."""
        if self._raw is not None:
            self._raw.require_names(names, needed, self._names)

    def row_reader(self, inputs: Sequence[str], side: str) -> Any:
        """See `RawRows.reader`; None where calls take no raw rows."""
        return None if self._raw is None else self._raw.reader(inputs, side)

    def located(self, error: IdRangeError, arrays: Mapping[str, Any]) -> IdRangeError:
        """See `RawRows.located`; the error where calls take no raw rows."""
        return error if self._raw is None else self._raw.located(error, arrays)

    @contextmanager
    def naming(self, arrays: Mapping[str, Any]) -> Iterator[None]:
        """Let errors of a call on these arrays be as of `located`."""
        try:
            yield
        except IdRangeError as error:
            raise self.located(error, arrays) from None

    def shown(self) -> list[str]:
        """The inputs, those that belong to another one's field left out."""
        hidden = () if self._raw is None else self._raw.hidden()
        return [name for name in self.infos if name not in hidden]

    def of_side(self, side: str) -> list[str]:
        """The fields of raw rows that belong to a side."""
        fields = {} if self._raw is None else self._raw.fields
        return [name for name, item in fields.items() if item.side == side]

    def sides(self, request: Sequence[str], candidates: Sequence[str]) -> list[dict[str, None]]:
        """The inputs of both sides of a call whose inputs are known by position."""
        for name in (*request, *candidates):
            if name in self.columns:
                raise InputError(f"input '{name}': its columns are inputs; name those")
        return [dict.fromkeys(self.expand_names(names)) for names in (request, candidates)]

    def _is_input(self, name: str) -> bool:
        """Whether a name is an input; refuses those that the model never had."""
        if name not in self.infos and name not in self.ignored:
            raise UnexpectedInputError(
                f"input '{name}': the model has no such input, expected {', '.join(self.infos)}"
            )
        return name in self.infos

    def require(self, needed: Sequence[str], *sides: Mapping[str, Any]) -> None:
        """Refuse a call that lacks an input or gives one on both sides."""
        if len(sides) == 2:
            both = sides[0].keys() & sides[1].keys()
            if both:
                label = self._label(min(both))
                raise InputError(f"{label} is given both in the request and with the candidates")
        for name in needed:
            if not any(name in side for side in sides):
                hidden = () if self._raw is None else self._raw.hidden()
                expected = ", ".join(other for other in needed if other not in hidden)
                raise MissingInputError(f"{self._label(name)} is missing: expected {expected}")

    def _label(self, name: str) -> str:
        """What errors call an input: the field that it is of, where it is of one."""
        fields = [] if self._raw is None else self._raw.reading([name])
        return f"field '{fields[0]}'" if fields else f"input '{name}'"

    def array(self, name: str, value: Any, rows: int | None) -> Array:
        """One argument as the model's input."""
        info = self.infos[name]
        assert info.dtype is not None
        if is_tensor(value) and info.dtype.kind == "U":
            return with_rows(name, value, info, rows)
        value = as_plain(value)
        # Aligned strides are multiples of the element size, and an equal dtype has its byte order.
        ready = type(value) is np.ndarray and value.dtype == info.dtype and value.ndim == info.rank
        if ready and value.flags.aligned and info.dtype.kind != "U":
            return value  # type: ignore[no-any-return]
        return with_rows(name, as_array(name, value, info.dtype), info, rows)

    def requests(self, names: Iterable[str], values: Mapping[str, Any]) -> tuple[dict[str, Array], int]:
        """Inputs of one request, or of as many as their arrays have rows, and how many these are.

        Raises
        ------
        RowCountError
            If they are not the same for all.
        """
        arrays: dict[str, Array] = {}
        first, count = "", 1
        for name in names:
            axis = self.infos[name].rows
            if axis < 0:
                arrays[name] = self.array(name, values[name], 1)
                continue
            try:
                array = self.array(name, values[name], None)
            except ShapeError:
                # A row that comes without its axis belongs to one request.
                array = self.array(name, values[name], 1)
            if not first:
                first, count = name, array.shape[axis]
            elif array.shape[axis] != count:
                raise RowCountError(
                    f"input '{name}': expected {count} rows, as input '{first}' has, got {array.shape[axis]}"
                )
            arrays[name] = array
        return arrays, count


__all__ = ["Signature", "with_rows"]
