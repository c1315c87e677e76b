"""The public interface: load a model, score candidates, take the best."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import (
    Signature,
    as_array,
    as_column_names,
    as_count,
    as_names,
    regular,
)
from pyrec_infer.backends.base import load_fallbacks
from pyrec_infer.backends.select import (
    bf16_note,
    make_pool,
    runner_names,
    select_backend,
)
from pyrec_infer.calls import PositionalCall, PreparedCall, as_scores, empty_outputs, prepare_call
from pyrec_infer.catalog import Catalog, ModelPart
from pyrec_infer.errors import DTypeError, InputError, PyrecError, ShapeError
from pyrec_infer.execution import Executable
from pyrec_infer.importer import fallback_model, import_model, model_source
from pyrec_infer.ir import Array, Info, Rows
from pyrec_infer.ops.inference import analyze
from pyrec_infer.passes import compile_graph, keep_outputs
from pyrec_infer.passes.choose_precision import NARROW_LAYERS, PrecisionName, require_precision
from pyrec_infer.passes.split_columns import split_columns
from pyrec_infer.plan import read_inputs, unknown_nodes
from pyrec_infer.planning import make_executable, narrow
from pyrec_infer.precision import NotMeasurableError, PrecisionReport, compare_scores, sample_inputs
from pyrec_infer.tools.explain import Explanation, explain_plan
from pyrec_infer.top_k import TopK, best_rows

Inputs: TypeAlias = Mapping[str, ArrayLike]
Source: TypeAlias = "str | os.PathLike[str] | bytes"

_CallKey: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], str | None]
"""Names of the request's and the candidates' inputs, and of the output."""

_MAX_THREADS = 1024

_MAX_PLANS = 64
"""Plans a model keeps: one for each combination of request inputs and outputs that was asked for."""


class TensorInfo(NamedTuple):
    """One input or output of a model.

    Attributes
    ----------
    name : str
    dtype : str
        NumPy's name of the element type, ``"str"`` for strings.
    shape : tuple of int or str
        Named sizes are symbolic; ``"N"`` is the number of candidates.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


def _tensor_info(name: str, info: Info) -> TensorInfo:
    dtype = "unknown" if info.dtype is None else "str" if info.dtype.kind in "UO" else info.dtype.name
    shape = (
        ()
        if info.shape is None
        else tuple(size if isinstance(size, int) else repr(size) for size in info.shape)
    )
    return TensorInfo(name, dtype, shape)


class Model:
    """A compiled model. Make one with `load`.

    Immutable and safe to use from any number of threads; the interpreter lock is released while a
    model is loaded natively and while it scores. Pickles by its path or bytes.
    """

    def __init__(
        self,
        source: Source,
        threads: int = 1,
        columns: Mapping[str, Sequence[str]] | None = None,
        precision: PrecisionName = "fp32",
        calibration: Inputs | None = None,
        mmap: bool = False,
    ) -> None:
        source = model_source(source)
        threads = as_count("threads", threads, least=1)
        if threads > _MAX_THREADS:
            raise InputError(f"threads: expected at most {_MAX_THREADS}, got {threads}")
        require_precision(precision)
        self._arguments = (source, threads, columns, precision, calibration, mmap)
        self._backend = select_backend()
        imported = import_model(source, mmap)
        graph = imported.graph
        named = as_column_names("columns", columns)
        if named:
            graph = split_columns(graph, named)
        self._graph = compile_graph(graph)
        self._infos = analyze(self._graph).infos
        self._fallbacks = load_fallbacks(unknown_nodes(self._graph), self._infos, fallback_model)
        self._signature = Signature(
            {name: self._infos[name] for name in self._graph.inputs}, named, imported.dropped_inputs
        )
        self._pool = make_pool(self._backend, threads)
        # Not a method: a cache of bound methods would keep the model alive. It has no lock that a fork
        # could leave taken.
        self._executable = lru_cache(maxsize=_MAX_PLANS)(
            partial(make_executable, self._graph, self._backend, self._pool, self._fallbacks, precision)
        )
        self._calls: dict[_CallKey, Any] = {}
        self._inputs, self._outputs = (
            tuple(_tensor_info(name, self._infos[name]) for name in names)
            for names in (self._graph.inputs, self._graph.outputs)
        )
        self._precision = self._measure(precision, calibration)

    def __reduce__(self) -> tuple[Any, ...]:
        source, *rest = self._arguments
        kept = source if isinstance(source, bytes) else str(Path(source).resolve())
        return Model, (kept, *rest)

    def __repr__(self) -> str:
        inputs = ", ".join(item.name for item in self.inputs)
        outputs = ", ".join(item.name for item in self.outputs)
        return f"<pyrec_infer.Model inputs=({inputs}) outputs=({outputs}) backend={self._backend}>"

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """The model's inputs in order: name, element type and shape of each."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The model's outputs in order: name, element type and shape of each."""
        return self._outputs

    @property
    def precision(self) -> PrecisionReport:
        """The precision of the dense layers and what it does to the scores, measured at load."""
        return self._precision

    def run(self, inputs: Inputs) -> dict[str, Array]:
        """Evaluate every output on a full batch, with ONNX's semantics exactly.

        Parameters
        ----------
        inputs : mapping of str to array_like
            One array with the same number of rows for each input. Integer and float arrays of any
            width are taken where their values fit; float64 is rounded to the model's type. Borrowed.

        Returns
        -------
        dict of str to ndarray
            A ZipMap output is the array of its dictionaries' values.

        Raises
        ------
        InputError
            An input is missing or unknown, or has a wrong dtype, shape or number of rows;
            `IdRangeError` where an id is outside its table.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> user = users(1, 1)[0]
        >>> made = pi.load(MODEL).run({**user.request, **items(1), "affinity": user.affinity})
        >>> [array.shape for array in made.values()]
        [(1,)]
        """
        values = self._signature.expand(inputs)
        executable = self._executable(frozenset(), self._graph.outputs, strict_ids=False)
        return self._call(executable, {}, values, ())

    def score(
        self,
        request: Inputs,
        candidates: Inputs,
        offsets: ArrayLike | None = None,
        output: str | None = None,
    ) -> NDArray[np.float32]:
        """Score N candidates for one request, or ragged groups of candidates for B requests.

        Parameters
        ----------
        request : mapping of str to array_like
            Inputs that are the same for every candidate: one row each, or scalars; with ``offsets``
            B rows each. Borrowed.
        candidates : mapping of str to array_like
            All other inputs, N rows each. Borrowed.
        offsets : array_like of int, shape (B + 1,), optional
            Candidates of request ``b`` are rows ``offsets[b]:offsets[b + 1]``.
        output : str, optional
            Which output; by default the first of floating type. ``"logit"`` is that output without
            its final sigmoid.

        Returns
        -------
        ndarray of float32, shape (N,)
            The same as `run` on the candidates with the request repeated. An output with several
            values for each row keeps its further axes.

        Raises
        ------
        InputError
            As for `run`; also `IdRangeError` where an id is given as a float that is not a whole
            number or too big for its type to hold exactly.

        Notes
        -----
        In a model where a row's score depends on the other rows (`explain` names the node), each
        request's candidates are one batch.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> user = users(1, 500)[0]
        >>> scores = pi.load(MODEL).score(user.request, {**items(500), "affinity": user.affinity})
        >>> scores.shape, scores.dtype
        ((500,), dtype('float32'))
        """
        key: _CallKey | None = None
        if offsets is None and type(request) is dict and type(candidates) is dict:
            key = tuple(request), tuple(candidates), output
            call = self._calls.get(key)
            if call is not None:
                scores: NDArray[np.float32] | None = call(*request.values(), *candidates.values())
                if scores is not None:
                    return scores
        own, others = self._signature.expand(request), self._signature.expand(candidates)
        name, logit = self._chosen(output)
        executable = self._executable(frozenset(own), (name,), strict_ids=True, logit=logit)
        bounds = () if offsets is None else _bounds(offsets)
        made = next(iter(self._call(executable, own, others, bounds).values()))
        if key is not None and key not in self._calls:
            self._remember(key, executable)
        return as_scores(made)

    def top_k(
        self,
        request: Inputs,
        candidates: Inputs,
        k: int = 100,
        ids: ArrayLike | None = None,
        exclude: ArrayLike | None = None,
        boost: ArrayLike | None = None,
        output: str | None = None,
    ) -> TopK:
        """The k candidates with the highest scores, best first.

        Parameters
        ----------
        request, candidates, output
            As for `score`, for one request.
        k : int
            How many; fewer candidates give fewer results.
        ids : array_like, shape (N,), optional
            Names of the candidates; their row numbers by default.
        exclude : array_like, optional
            Candidates that are left out, by the same names. Names that do not occur are ignored.
        boost : array_like of float, shape (N,), optional
            Added to the scores before they are compared.
        output : str, optional

        Returns
        -------
        TopK
            Equal scores: the lower row first. NaN comes after every number.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> user = users(1, 500)[0]
        >>> pi.load(MODEL).top_k(user.request, {**items(500), "affinity": user.affinity}, k=3).count
        3
        """
        k = as_count("k", k)
        scores = self.score(request, candidates, output=output)
        if scores.shape != (self._rows_of(self._signature.expand(candidates), ()),):
            raise ShapeError(
                f"top_k needs one score for each candidate, the output has shape {list(scores.shape)}"
            )
        names = None if ids is None else regular("ids", ids)
        added = None if boost is None else as_array("boost", boost, np.dtype(np.float32))
        for label, given in (("ids", names), ("boost", added)):
            if given is not None and given.shape != scores.shape:
                raise ShapeError(f"{label}: expected shape [{len(scores)}], got {list(given.shape)}")
        if added is not None:
            scores = scores + added.astype(np.float32)
        left_out = None
        if exclude is not None and regular("exclude", exclude).size:
            left_out = as_array("exclude", exclude, np.dtype(np.int64) if names is None else names.dtype)
        rows, best = best_rows(scores, k, names, left_out)
        return TopK(rows if names is None else names[rows], best, len(rows))

    def prepare(
        self,
        request_names: Sequence[str],
        candidate_names: Sequence[str],
        max_rows: int | None = None,
        output: str | None = None,
    ) -> PreparedCall:
        """A callable for repeated small calls: names are looked up once.

        Parameters
        ----------
        request_names, candidate_names : sequence of str
            Inputs in the order in which the arrays will be given.
        max_rows : int, optional
            Calls with more candidates are refused.
        output : str, optional
            As for `score`.

        Returns
        -------
        PreparedCall
        """
        request_names = as_names("request_names", request_names)
        candidate_names = as_names("candidate_names", candidate_names)
        max_rows = None if max_rows is None else as_count("max_rows", max_rows)
        self._signature.require(
            self._needed(self._chosen(output)[0]), *self._sides(request_names, candidate_names)
        )
        name, logit = self._chosen(output)
        executable = self._executable(frozenset(request_names), (name,), strict_ids=True, logit=logit)
        names = (*request_names, *candidate_names)
        return prepare_call(executable, names, frozenset(request_names), max_rows, self._signature.infos)

    def catalog(
        self,
        items: Inputs,
        ids: ArrayLike | None = None,
        *,
        candidates: Iterable[str] = (),
        precision: PrecisionName | None = None,
        output: str | None = None,
    ) -> Catalog:
        """A catalogue of items, with everything that depends on an item alone computed once.

        Parameters
        ----------
        items : mapping of str to array_like
            The inputs that belong to an item, one row for each. Their other sizes are the catalogue's.
        ids : array_like, optional
            Names of the items: whole numbers or strings; their row numbers by default. Of an id that
            occurs several times, the last row counts.
        candidates : iterable of str
            Inputs that come with each call, one row for each item. All others belong to the request.
        precision : {"fp32", "bf16", "int8"}, optional
            How float32 values of 16 numbers and more are stored; by default as the model computes.
        output : str, optional
            As for `score`.

        Returns
        -------
        Catalog

        Raises
        ------
        UnsupportedModelError
            If a row's score depends on the other rows; names the node.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items
        >>> len(pi.load(MODEL).catalog(items(500), candidates=["affinity"]))
        500
        """
        name, logit = self._chosen(output)
        graph = narrow(self._graph, (name,), strict_ids=True, logit=logit)

        part = ModelPart(
            self._signature,
            graph,
            self._backend,
            self._pool,
            self._fallbacks,
            self.precision.precision,
            tuple(self._precision_notes()),
        )
        stored = self.precision.precision if precision is None else precision
        return Catalog(part, items, ids, candidates, stored)

    def explain(self, request: Iterable[str] = (), output: str | None = None) -> Explanation:
        """What a call with these request inputs does: phases, steps, rates and shapes.

        Parameters
        ----------
        request : iterable of str
            Inputs on the request side; all others are the candidates'.
        output : str, optional
            Only what this output needs; by default what all outputs need.

        Returns
        -------
        Explanation
            ``str()`` gives text, ``as_dict()`` plain data.
        """
        own = frozenset(self._signature.expand_names(request))
        outputs: tuple[str, ...] = self._graph.outputs
        logit = False
        if output is not None:
            name, logit = self._chosen(output)
            outputs = (name,)
        plan = self._executable(own, outputs, strict_ids=output is not None, logit=logit).plan
        return explain_plan(plan, self._backend, runner_names(plan, self._backend), self._precision_notes())

    def _measure(self, precision: PrecisionName, calibration: Inputs | None) -> PrecisionReport:
        """Score sampled or given rows in this precision and in float32."""
        given = None if calibration is None else self._signature.expand(calibration)
        if precision == "fp32":
            return PrecisionReport(precision)
        outputs = (self._chosen(None)[0],)
        narrow = self._executable(frozenset(), outputs, strict_ids=False)
        layers = sum(node.op in NARROW_LAYERS for phase in narrow.plan.phases for node in phase.nodes)
        reason = "no layer can have this precision" if not layers else ""
        if not reason and given is None and narrow.plan.coupled:
            reason = "made-up rows may not stay apart in a batch; give `calibration`"
        if not reason and given is None:
            try:
                given = sample_inputs(self._graph, self._infos, narrow.plan.given)
                made = self._call(narrow, {}, given, ())
            except PyrecError as error:
                named = isinstance(error, NotMeasurableError)
                reason = str(error) if named else "made-up rows do not fit the model; give `calibration`"
        elif not reason and given is not None:
            made = self._call(narrow, {}, given, ())
        if reason or given is None:
            return PrecisionReport(precision, layers, note=reason)
        plain = make_executable(
            self._graph, self._backend, self._pool, self._fallbacks, "fp32", frozenset(), outputs, False
        )
        exact = self._call(plain, {}, given, ())
        return compare_scores(precision, layers, *(next(iter(scores.values())) for scores in (exact, made)))

    def _precision_notes(self) -> list[str]:
        if self.precision.precision == "fp32":
            return []
        note = bf16_note(self._backend) if self.precision.precision == "bf16" else ""
        return [str(self.precision), note] if note else [str(self.precision)]

    def _sides(self, request: Sequence[str], candidates: Sequence[str]) -> list[dict[str, None]]:
        for name in (*request, *candidates):
            if name in self._signature.columns:
                raise InputError(f"input '{name}': its columns are inputs; name those")
        return [dict.fromkeys(self._signature.expand_names(names)) for names in (request, candidates)]

    def _needed(self, output: str) -> tuple[str, ...]:
        return read_inputs(keep_outputs(self._graph, (output,)))

    def _chosen(self, output: str | None) -> tuple[str, bool]:
        names = self._graph.outputs
        if output is not None and not isinstance(output, str):
            raise DTypeError(f"output: expected a name, got {type(output).__name__}")
        if output is not None and output != "logit":
            if output not in names:
                raise InputError(
                    f"output '{output}': the model has no such output, expected {', '.join(names)}"
                )
            return output, False
        if output == "logit" and output in names:
            return output, False
        floating = [name for name in names if (dtype := self._infos[name].dtype) is None or dtype.kind == "f"]
        if not names:
            raise InputError("the model has no outputs")
        return (floating or list(names))[0], output == "logit"

    def _call(
        self,
        executable: Executable,
        request: Mapping[str, Any],
        candidates: Mapping[str, Any],
        offsets: Sequence[int],
    ) -> dict[str, Array]:
        plan = executable.plan
        self._signature.require(plan.given, request, candidates)
        if len(offsets) > 2 and plan.one_request:
            raise InputError(f"{plan.one_request}: expected one request in a call, got {len(offsets) - 1}")
        requests = len(offsets) - 1 if offsets else 1
        arrays: dict[str, Array] = {}
        rows = -1
        for name in plan.given:
            on_request = name in request
            value = request[name] if on_request else candidates[name]
            array = self._signature.array(name, value, 1 if on_request and requests == 1 else None)
            info = self._signature.infos[name]
            arrays[name] = array
            if rows < 0 and not on_request and info.rows != Rows.INVARIANT:
                rows = array.shape[info.rows]
        if rows < 0:
            rows = self._rows_of(candidates, offsets)
        executable.check_string_rows(arrays, requests, rows)
        if rows == 0 and not plan.static_rows:
            empty = empty_outputs(plan)
            if empty is not None:
                return empty
        return executable.run(arrays, offsets, rows)

    def _remember(self, key: _CallKey, executable: Executable) -> None:
        """Let later calls with these names of arrays that fit as they are go straight to the backend."""
        request, candidates, _ = key
        if len(self._calls) >= _MAX_PLANS:
            self._calls.clear()
        split = any(name in self._signature.columns for name in (*request, *candidates))
        call = None
        if not split:
            names = (*request, *candidates)
            call = PositionalCall(executable, names, frozenset(request), None).in_backend(None)
        self._calls[key] = call

    def _rows_of(self, candidates: Mapping[str, Any], offsets: Sequence[int]) -> int:
        """The number of candidates of a call; 1 if none of its inputs tells."""
        if offsets:
            return offsets[-1]
        for name, value in candidates.items():
            axis = self._signature.infos[name].rows
            if axis >= 0:
                return int(self._signature.array(name, value, None).shape[axis])
        return 1


def _bounds(offsets: ArrayLike) -> list[int]:
    array = regular("offsets", offsets)
    if array.ndim != 1 or array.size < 1 or array.dtype.kind not in "iu":
        raise ShapeError(
            f"offsets: expected whole numbers of shape [B + 1], got {array.dtype} {list(array.shape)}"
        )
    bounds = [int(value) for value in array]
    if bounds[0] != 0 or any(a > b for a, b in pairwise(bounds)):
        raise ShapeError("offsets: expected 0 first and no decrease")
    return bounds


def load(
    model: Source,
    *,
    threads: int = 1,
    columns: Mapping[str, Sequence[str]] | None = None,
    precision: PrecisionName = "fp32",
    calibration: Inputs | None = None,
    mmap: bool = False,
) -> Model:
    """Load and compile an ONNX model.

    Parameters
    ----------
    model : path or bytes
        The file, or its contents. External data has to lie in the file's folder.
    threads : int
        Threads that share the candidates of one call. They belong to the model and are started when
        first needed.
    columns : mapping of str to sequence of str, optional
        Names for the columns of matrix inputs, so that each can be on its own side. A name given to
        several columns in a row makes one input of that width.
    precision : {"fp32", "bf16", "int8"}
        Of the dense layers that run for each candidate, but for the last. ``"int8"`` rounds weights to
        8 bits with a scale for each column, and the rows they meet with a scale for each row.
        `Model.precision` tells what this does to the scores.
    calibration : mapping of str to array_like, optional
        Inputs as for `Model.run`, to measure the error on; by default rows are made up. Not used
        otherwise. Borrowed, and kept for pickling.
    mmap : bool
        Whether external data are mapped, so that processes share them, instead of copied. A mapped
        file must neither be changed nor shortened as long as the model is in use: its numbers would
        change with it, and a file that became shorter ends the process. Publish new weights under a
        new name. Without it up to 1 GiB is copied, and more is refused.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        The file is damaged or no ONNX model, and what it is instead; `UnsupportedModelError` if
        operators in it cannot be run, with a list of them all.
    ResourceLimitError
        The model's file has more than 2 GiB, or its external data more than is copied.
    InputError
        There is no such precision, or ``calibration`` does not fit the model.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> pi.load(b"")
    Traceback (most recent call last):
    pyrec_infer.errors.ModelError: the model is empty
    """
    return Model(model, threads, columns, precision, calibration, mmap)


def score(model: Model | Source, request: Inputs, candidates: Inputs, **options: Any) -> NDArray[np.float32]:
    """Score candidates in one line; see `Model.score` and `load`.

    Parameters
    ----------
    model : Model, path or bytes
        A path or bytes are loaded anew in each call.
    request, candidates
        As for `Model.score`.
    **options
        ``offsets`` and ``output`` of `Model.score`, ``threads``, ``columns``, ``precision`` and ``mmap`` of
        `load`.

    Returns
    -------
    ndarray of float32, shape (N,)
    """
    if not isinstance(model, Model):
        chosen = {
            key: options.pop(key) for key in ("threads", "columns", "precision", "mmap") if key in options
        }
        model = load(model, **chosen)
    return model.score(request, candidates, **options)
