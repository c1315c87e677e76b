"""The best of candidates that are given with their scores, and no items of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import as_array, as_count, regular
from pyrec_infer.errors import DTypeError, ShapeError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, holds_strings
from pyrec_infer.selection.boosts import read_boosts
from pyrec_infer.selection.excluded import ExcludedRows, not_among, rest_of
from pyrec_infer.selection.masks import Flags, as_mask, both
from pyrec_infer.selection.rules import Rules, Search, best_under, read_rules
from pyrec_infer.store import Attribute, Rows64, as_those, read_attributes, read_ids
from pyrec_infer.store.attributes import Attributes, length_of
from pyrec_infer.store.ids import plain_numbers
from pyrec_infer.top_k import Adjustment, Ranked, Selection, TopK, named, only

_FEW = 1 << 12


class Asked:
    """What `Model.top_k` is asked of its candidates.

    Parameters
    ----------
    k, ids, exclude, boost, allow, scale, attributes, max_per, min_per, diversity
        Of that call.

    Attributes
    ----------
    k : int
    plain : bool
        Whether there are neither caps nor quotas nor diversity.
    quick : bool
        Whether `found` takes the best `wanted`: of all candidates, or of those that are left of more.
    """

    def __init__(
        self,
        k: int,
        ids: ArrayLike | None,
        exclude: Any,
        boost: ArrayLike | None,
        allow: Any,
        scale: ArrayLike | None,
        attributes: Any,
        max_per: Any,
        min_per: Any,
        diversity: Any,
    ) -> None:
        self.k = as_count("k", k)
        self._names = None if ids is None else _names(ids)
        self._allow, self._exclude = allow, exclude
        self._boosts = boost, scale
        self._scored: int | None = None
        self._given_rules = max_per, min_per, diversity
        rules = any(rule is not None for rule in self._given_rules)
        others = not rules and all(x is None for x in (allow, boost, scale, attributes))
        self._denied = self._read_denied(exclude) if others and exclude is not None else None
        self.quick = others and (exclude is None or self._denied is not None)
        self.plain = not rules
        self._sizes: Mapping[str, int] = {}
        if attributes is not None or rules:
            self._read_rules(attributes, rules)

    def _read_rules(self, attributes: Any, rules: bool) -> None:
        self._columns = read_attributes(attributes)
        self._attributes = Attributes(self._columns)
        # Rules name strings, which are known once the candidates' are read.
        self._sizes = {name: length_of(*column) for name, column in self._columns.items()}
        sizes = {*self._sizes.values()}
        read = len(sizes) == 1 and rules
        self._records = self._attributes.encode(self._columns, sizes.pop()) if read else None
        self.plain = self._rules() == Rules()

    def _read_denied(self, exclude: Any) -> ExcludedRows | None:
        """What is excluded by whole numbers; None where it, or a name, needs a closer look."""
        numbers = plain_numbers(exclude)
        named = self._names is not None and plain_numbers(self._names) is None
        return None if numbers is None or named else ExcludedRows(numbers, None)

    @property
    def wanted(self) -> int:
        """How many of the best there have to be to leave ``k``."""
        return self.k if self._denied is None else self.k + self._denied.most(self._names)

    def selection(self, rows: int) -> Selection:
        """The same of so many candidates, but for the rules that are not plain."""
        self._require_names(rows)
        for name, size in self._sizes.items():
            if size != rows:
                raise ShapeError(f"attribute '{name}': expected {rows} values, one for each item, got {size}")
        adjustment = read_boosts(*self._boosts, rows, 1)
        return Selection(self.k, adjustment=adjustment or Adjustment(), taken=self._taken(rows))

    def _require_names(self, rows: int) -> None:
        """Remember how many candidates there are, each of which has to have a name."""
        self._scored = rows
        if self._names is not None and self._names.shape != (rows,):
            raise ShapeError(f"ids: expected shape [{rows}], got {list(self._names.shape)}")

    def found(self, ranked: Ranked, rows: int, several: bool) -> Ranked | TopK:
        """Results of the best `wanted` that a plan has found among so many candidates."""
        self._require_names(rows)
        names = np.arange(rows) if self._names is None else self._names
        return self.result(rest_of(ranked, self._denied, names, self.k), several)

    def best(self, scores: NDArray[np.float32], bounds: Sequence[int]) -> Ranked:
        """The best rows of each request, whose scores are ``bounds[b]:bounds[b + 1]``."""
        total = len(scores)
        whole = self.selection(total)
        if self.plain:
            return whole.best(scores, bounds)
        records = self._records
        if records is None or len(records) != total:
            records = self._attributes.encode(self._columns, total)
        rules = self._rules()

        def rank(k: int, within: Flags | None) -> Ranked:
            taken = whole.taken if within is None else both(whole.taken, within)
            return replace(whole, k=k, taken=taken).best(scores, bounds)

        def stored(attribute: Attribute, places: Rows64) -> Array:
            return self._attributes.column(attribute.name, records)[places]

        names = np.arange(total) if self._names is None else self._names
        search = Search(rank, total, stored, self._attributes.find, lambda places: names[places])
        return best_under(search, self.k, rules)

    def result(self, ranked: Ranked, several: bool) -> Ranked | TopK:
        """Results by the candidates' names, of several requests or of one."""
        names = self._names
        found = ranked if names is None else named(ranked, lambda rows: names[rows])
        found = found.found_by(self._scored)
        return found if several else only(found)

    def _rules(self) -> Rules:
        return read_rules(self._attributes.find, *self._given_rules, self.k)

    def _taken(self, rows: int) -> Flags | None:
        """Which candidates may be among the best; None: all."""
        taken: Flags | None = None
        names = np.arange(rows) if self._names is None else self._names
        for label, given, alone in (("allow", self._allow, True), ("exclude", self._exclude, False)):
            if given is None:
                continue
            flags = as_mask(label, given, rows)
            if flags is None:
                flags = _among(label, given, names)
            taken = both(taken, flags == alone)
        return taken


def _names(ids: Any) -> Array:
    """Candidates' names, of whatever kind they are; what NumPy would make others of is refused.

    Raises
    ------
    DTypeError
        If a list has names of several kinds; names the row.
    """
    kinds = {*map(type, ids)} if type(ids) in (list, tuple) else set()
    whole = bool(kinds) and all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds)
    return read_ids("ids", ids) if whole or str in kinds else regular("ids", ids)


def _among(label: str, given: Any, names: Array) -> Flags:
    """Which of the candidates' names are among some ids.

    Raises
    ------
    ShapeError
        If they do not lie along one axis; `DTypeError` if they are of another kind than the names.
    """
    texts = names.dtype.kind in "UST" or (names.dtype.kind == "O" and {*map(type, names.tolist())} == {str})
    if not (texts or names.dtype.kind in "iu"):
        return _equal_to_some(label, given, names)
    expected = "strings" if texts else "whole numbers"
    ids = read_ids(label, given, expected)
    if not len(ids):
        return np.zeros(len(names), np.bool_)
    if holds_strings(ids) != texts:
        got = "strings" if holds_strings(ids) else ids.dtype
        raise DTypeError(f"{label}: expected {expected}, got {got}")
    if texts:
        return np.isin(names if names.dtype.kind == "U" else read_ids("ids", names), ids)
    ids, fits = as_those(ids, names)
    # What takes least of few takes too long of many.
    return ~not_among(names, ids[fits]) if len(names) < _FEW else np.isin(names, ids[fits])


def _equal_to_some(label: str, given: Any, names: Array) -> Flags:
    """The same for names that are neither whole numbers nor strings."""
    ids = regular(label, given)
    if ids.ndim != 1:
        raise ShapeError(f"{label}: expected one axis, got shape {list(ids.shape)}")
    if not ids.size:
        return np.zeros(len(names), np.bool_)
    if names.dtype.kind != "O":
        return np.isin(names, as_array(label, given, names.dtype))
    try:
        known = set(ids.tolist())
        return np.asarray([name in known for name in names.tolist()], np.bool_)
    except TypeError as error:
        let_interrupts_pass(error)
        raise DTypeError(
            f"{label}: expected ids that can be looked up, as strings or whole numbers"
        ) from None


__all__ = ["Asked"]
