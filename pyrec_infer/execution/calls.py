"""Calls whose inputs are known by position, and scores as callers get them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import require_arrays, require_out
from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.ir import BATCH, Array, Dim, Info, holds_strings, same_size
from pyrec_infer.limits import current_budget, memory_errors_typed
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS
from pyrec_infer.plan import Plan
from pyrec_infer.top_k import Ranked, Selection


def as_scores(made: Array, rows: int, output: str) -> NDArray[np.float32]:
    """A model's output as float32; further axes of one value in all are dropped.

    Raises
    ------
    DTypeError
        If it holds strings.
    ShapeError
        If it has not as many rows as there are candidates.
    """
    if made.dtype.kind not in "fiub":
        raise DTypeError(
            f"output '{output}' holds {'strings' if holds_strings(made) else made.dtype}, not scores"
        )
    scores = np.ascontiguousarray(made, np.float32)
    if made.ndim == 0 or len(made) != rows:
        raise ShapeError(
            f"output '{output}': expected one score for each of {rows} candidates, got shape "
            f"{list(made.shape)}; `run` gives it"
        )
    return scores.reshape(len(scores)) if prod(scores.shape[1:]) == 1 else scores


def find_best(
    ready: ReadyPlan,
    arrays: Mapping[str, Array],
    offsets: Sequence[int],
    requests: int,
    rows: int,
    output: str,
    selection: Selection,
) -> Ranked:
    """The best candidates of each request: chosen where scores are made, or else from all of them.

    Parameters
    ----------
    ready : ReadyPlan
    arrays : mapping of str to ndarray
        Every input that the plan reads.
    offsets : sequence of int
        Row bounds of several requests; empty for one, or where candidates are shared.
    requests, rows : int
        How many requests, and how many rows of candidates the arrays have; neither is 0.
    output : str
        What errors call the scores.
    selection : Selection

    Raises
    ------
    InputError
        If the plan cannot tell several requests apart.
    ShapeError
        If there is not one score for each candidate.
    ResourceLimitError
        If the results are more than a call may hold.
    """
    plan = ready.plan
    if plan.one_request and requests != 1:
        raise InputError(f"{plan.one_request}: expected one request in a call, got {requests}")
    most = max((b - a for a, b in pairwise(offsets)), default=rows)
    current_budget().require(_BYTES_OF_RESULT * requests * min(selection.k, most))
    run_best = getattr(ready.executor, "run_best", None)
    if run_best is not None and plan.selects_in_tiles:
        given = [arrays[item.name] for item in plan.given_inputs()]
        found: Ranked = run_best(given, offsets, requests, rows, selection)
        return found
    total = rows
    if selection.shared and requests != 1:
        total, arrays = rows * requests, plan.repeated(arrays, requests)
        offsets = range(0, total + 1, rows)
    ready.check_rows(arrays, requests, total)
    (made,) = ready.run(arrays, offsets, total).values()
    return selection.best(as_scores(made, total, output), offsets or (0, total))


FEW = 1 << 12
"""Fewer scores of one request are made before they are compared: such a call takes microseconds."""


_BYTES_OF_RESULT = 64
"""What one candidate and its score take, with the copies that a call makes."""


def are_many(rows: int) -> bool:
    """Whether so many candidates are compared where their scores are made."""
    return rows >= FEW


def seem_many(candidates: Any) -> bool:
    """Whether what was given for candidates is likely to be of many."""
    if type(candidates) is not dict:
        return True
    sizes = (len(value) for value in candidates.values() if type(value) is np.ndarray and value.ndim)
    return are_many(max(sizes, default=0))


def empty_outputs(plan: Plan) -> dict[str, Array] | None:
    """The outputs for no rows; None if their shapes are not known before a run."""
    found: dict[str, Array] = {}
    for name in plan.results:
        info = plan.infos[name]
        if info.dtype is None or info.shape is None or info.rows < 0:
            return None
        sizes = [0 if axis == info.rows else size for axis, size in enumerate(info.shape)]
        if not all(isinstance(size, int) for size in sizes):
            return None
        found[name] = np.empty([int(size) for size in sizes], info.dtype)
    return found


class PreparedCall(Protocol):
    """A call whose inputs are known by position; made by `Model.prepare`."""

    def __call__(self, *arrays: Array, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Score one request.

        Parameters
        ----------
        *arrays : ndarray
            One for each name given to `Model.prepare`, with the model's rank; never copied.
        out : ndarray of float32, shape (N,), optional
            Where the scores go; a new array by default.

        Returns
        -------
        ndarray of float32, shape (N,)
            As for `Model.score`; ``out`` if it was given.
        """
        ...


class RowsCall:
    """A prepared call of a model that takes raw rows; see `Model.prepare`."""

    def __init__(
        self, score: Callable[..., Any], request: Sequence[str], candidates: Sequence[str], most: int | None
    ) -> None:
        self._score = score
        self._request, self._candidates = tuple(request), tuple(candidates)
        self._most = most

    @memory_errors_typed
    def __call__(self, *values: Any, out: NDArray[np.float32] | None = None, **named: Any) -> Any:
        """Score one request, with a value for each name; ``out`` as for `PreparedCall`."""
        count = len(self._request) + len(self._candidates)
        if len(values) != count:
            raise InputError(f"expected {count} values, got {len(values)}")
        if out is not None:
            require_out(out)
        split = len(self._request)
        scores = self._score(
            dict(zip(self._request, values[:split], strict=True)),
            dict(zip(self._candidates, values[split:], strict=True)),
            **named,
        )
        one = next(iter(scores.values())) if isinstance(scores, dict) else scores
        if self._most is not None and len(one) > self._most:
            raise ShapeError(f"expected at most {self._most} candidates, got {len(one)}")
        if out is None:
            return scores
        if one is not scores:
            raise InputError("argument 'out': several outputs are given as new arrays")
        if out.shape != scores.shape:
            raise ShapeError(f"out: expected shape {list(scores.shape)}, got {list(out.shape)}")
        out[...] = scores
        return out


class PositionalCall:
    """A prepared call with every check, for all backends."""

    def __init__(
        self,
        ready: ReadyPlan,
        names: Sequence[str],
        request: frozenset[str],
        max_rows: int | None,
        unread: Mapping[str, Info] | None = None,
    ) -> None:
        self._ready = ready
        self._names = tuple(names)
        self._max_rows = max_rows
        plan = ready.plan
        # Inputs that the plan does not read tell the number of candidates too.
        infos = {**(unread or {}), **plan.infos}
        (result,) = (plan.infos[name] for name in plan.results)
        shape = result.shape or ()
        width = [size for size in shape[1:] if isinstance(size, int)]
        direct = (
            not plan.prologue
            and not plan.epilogue
            and len(plan.outputs) == 1
            and not plan.static_rows
            and result.dtype == np.float32
            and result.rows == 0
            and len(width) == len(shape) - 1
            and same_size(shape[0], Dim.symbol(BATCH))
            and any(not item.request and item.rows >= 0 for item in plan.inputs)
        )
        self._width = () if prod(width) == 1 else tuple(width)
        self._run_into = getattr(ready.executor, "run_into", None) if direct else None
        self._direct = direct
        places = {name: i for i, name in enumerate(self._names)}
        self._needed = [(name, places[name]) for name in plan.given]
        self._order = [places[item.name] for item in plan.given_inputs()] if direct else []
        self._rows = next(
            (
                (place, info.rows)
                for name, place in places.items()
                if name not in request and (info := infos.get(name)) is not None and info.rows >= 0
            ),
            None,
        )

    @memory_errors_typed
    def __call__(self, *arrays: Array, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        require_arrays(self._names, arrays)
        if out is not None:
            require_out(out)
        rows = 1
        if self._rows is not None:
            place, axis = self._rows
            if axis >= arrays[place].ndim:
                raise ShapeError(f"input '{self._names[place]}': expected an array with rows")
            rows = arrays[place].shape[axis]
        if self._max_rows is not None and rows > self._max_rows:
            raise ShapeError(f"expected at most {self._max_rows} candidates, got {rows}")
        if self._run_into is not None and rows > 0:
            shape = (rows, *self._width)
            if out is None:
                out = np.empty(shape, np.float32)
            elif out.shape != shape:
                raise ShapeError(f"argument 'out': expected shape {list(shape)}, got {list(out.shape)}")
            self._run_into([arrays[i] for i in self._order], 0, out)
            return out
        scores = self._run(arrays, rows)
        if out is None:
            return scores
        if out.shape != scores.shape:
            raise ShapeError(f"argument 'out': expected shape {list(scores.shape)}, got {list(out.shape)}")
        out[...] = scores
        return out

    def in_backend(self, general: Callable[..., Any] | None, store: Any = None, reader: Any = None) -> Any:
        """The same without Python in its way; None where the backend or the plan does not have that.

        Parameters
        ----------
        general : callable, optional
            Gets the calls that need a closer look. Without it, those return None, and the call is a lenient
            one: see `NativeExecutor.prepare`.
        store : _native.ItemStore, optional
            Has the records and the items' rows in them looked up instead of given.
        reader : _native.RowReader, optional
            Reads all other inputs, in their order, from a raw row, which is given instead.
        """
        prepare = getattr(self._ready.executor, "prepare", None) if self._direct else None
        own = () if store is None else (RECORDS, ROWS)
        names = [name for name in self._names if name not in own]
        places = {name: i for i, name in enumerate((*names, *own))}
        given = self._ready.plan.given_inputs()
        order = [places[item.name] for item in given] if prepare is not None else []
        rows = next(
            ((i, item.rows) for i, item in enumerate(given) if not item.request and item.rows >= 0), None
        )
        if prepare is None or rows is None:
            return None
        count = len(names) if reader is None else 1
        how = count, order, rows, self._max_rows, self._width
        return prepare(*how, general, store, reader, general is None)

    def _run(self, arrays: Sequence[Array], rows: int) -> NDArray[np.float32]:
        plan = self._ready.plan
        given = {name: arrays[place] for name, place in self._needed}
        self._ready.check_rows(given, 1, rows)
        made = None if rows or plan.static_rows == 1 else empty_outputs(plan)
        if made is None:
            made = self._ready.run(given, (), rows)
        (name, scores), *_ = made.items()
        return as_scores(scores, rows, name)


class SeveralCall:
    """A prepared call that gives several scores by their keys.

    Parameters
    ----------
    call : callable
        Gives a matrix with a column for each.
    unpack : callable
        Makes the dict of it.
    """

    def __init__(self, call: Callable[..., Array], unpack: Callable[[Array], Any]) -> None:
        self._call = call
        self._unpack = unpack

    def __call__(self, *arrays: Array, out: Array | None = None, **options: Any) -> Any:
        if out is not None:
            raise InputError("argument 'out': several outputs are given as new arrays")
        return self._unpack(self._call(*arrays, **options))


def prepare_call(
    ready: ReadyPlan,
    names: Sequence[str],
    request: frozenset[str],
    max_rows: int | None,
    unread: Mapping[str, Info] | None = None,
) -> PreparedCall:
    call = PositionalCall(ready, names, request, max_rows, unread)
    quick: PreparedCall | None = call.in_backend(call)
    return quick or call


__all__ = [
    "PositionalCall",
    "PreparedCall",
    "SeveralCall",
    "are_many",
    "as_scores",
    "empty_outputs",
    "find_best",
    "prepare_call",
    "seem_many",
]
