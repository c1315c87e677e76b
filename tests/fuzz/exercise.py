"""What is done with one model, and which of its outcomes is a fault."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx

import pyrec_infer as pi
from pyrec_infer.backends.select import VARIABLE, available_backends
from pyrec_infer.errors import PyrecError

from .saved import try_saved
from .values import SECRET_NUMBER, SECRET_TEXT, damaged, fitting, strange

ROWS = (1, 2, 5, 17, 33, 70)

MAX_BYTES = 256 << 20
"""Of one call: a process of the fuzzer has 2 GB."""

Outcomes = Counter[str]
"""How many calls of each kind succeeded or were refused."""


class FindingError(Exception):
    """A fault.

    Attributes
    ----------
    kind : str
        "raw exception", "property" or "disclosure", then the call.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Calls:
    """Makes calls that may be refused, and counts them."""

    def __init__(self) -> None:
        self.outcomes: Outcomes = Counter()

    def __call__(self, name: str, call: Callable[[], Any]) -> Any:
        """The call's result, or None where it was refused."""
        try:
            return self.raising(name, call)
        except PyrecError:
            return None

    def required(self, name: str, call: Callable[[], Any]) -> Any:
        """The call's result; a refusal is a fault."""
        try:
            return self.raising(name, call)
        except PyrecError as error:
            raise FindingError(f"property refused {name}", str(error)) from error

    def raising(self, name: str, call: Callable[[], Any]) -> Any:
        """The call's result; a refusal is raised."""
        try:
            found = call()
        except PyrecError as error:
            self.outcomes[f"{name} refused"] += 1
            text = str(error)
            if SECRET_TEXT in text or str(SECRET_NUMBER) in text:
                raise FindingError(f"disclosure {name}", text) from error
            raise
        except Exception as error:
            raise FindingError(f"raw exception {name} {type(error).__name__}", str(error)[:300]) from error
        self.outcomes[name] += 1
        return found


@contextmanager
def _forced(backend: str) -> Iterator[None]:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = backend
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def exercise(model: bytes, calls: int, backends: tuple[str, ...] = ()) -> Outcomes:
    """Load a model, call everything with arguments that fit and that do not.

    Parameters
    ----------
    model : bytes
    calls : int
        Seed of the arguments.
    backends : tuple of str
        Compared with each other; by default the one of this process only.

    Raises
    ------
    FindingError
        An exception that is no `PyrecError`, an error that shows a value, or two results that should be the
        same and are not.
    """
    call = Calls()
    random = Random(calls)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        source = _on_disk(model, Path(folder)) if _has_external(model) else model
        precision = random.choice(("fp32", "fp32", "fp32", "int8", "bf16", "fp16"))
        threads = random.choice((1, 1, 2))
        loaded = call(
            "load", lambda: pi.load(source, precision=precision, threads=threads, max_bytes=MAX_BYTES)
        )
        if loaded is None:
            return call.outcomes
        _Session(call, random, loaded).all(exact=precision == "fp32")
        for backend in backends:
            _compare_backend(call, random, loaded, source, backend)
    return call.outcomes


def _has_external(model: bytes) -> bool:
    try:
        proto = onnx.ModelProto.FromString(model)
    except Exception:
        return False
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer)


def _on_disk(model: bytes, folder: Path) -> Path:
    """The model in a folder with the files that `mutations.LOCATIONS` names."""
    (folder / "folder").mkdir()
    (folder / "weights.bin").write_bytes(
        np.random.default_rng(0).standard_normal(4096).astype("<f4").tobytes()
    )
    (folder / "short.bin").write_bytes(b"abc")
    (folder / "link.bin").symlink_to(folder / "weights.bin")
    path = folder / "model.onnx"
    path.write_bytes(model)
    return path


def _comparable(value: Any) -> bool:
    """Whether rounding in another order can't have changed the result much."""
    if value.dtype.kind != "f":
        return False
    finite = value[np.isfinite(value)]
    return bool(value.size) and finite.size == value.size and float(np.abs(finite).max()) < 1e6


def _require_equal(what: str, found: Any, expected: Any) -> None:
    if np.shape(found) != np.shape(expected):
        raise FindingError(f"property {what}", f"shape {np.shape(found)}, expected {np.shape(expected)}")
    if not _comparable(expected):
        return
    scale = float(np.abs(expected).max(initial=1.0))
    close = np.isclose(found, expected, rtol=1e-3, atol=1e-4 * scale)
    if not close.all():
        apart = np.abs(found.astype(float) - expected)[~close]
        raise FindingError(
            f"property {what}", f"{(~close).sum()} of {close.size} differ by up to {apart.max()}"
        )


class _Session:
    """The calls of one loaded model."""

    def __init__(self, call: Calls, random: Random, model: pi.Model) -> None:
        self.call, self.random, self.model = call, random, model
        self.rows = random.choice(ROWS)
        names = [info.name for info in model.inputs]
        own = {name for name in names if random.random() < 0.5}
        infos = {info.name: info for info in model.inputs}
        self.request = fitting(random, [infos[name] for name in names if name in own], 1)
        self.candidates = fitting(random, [infos[name] for name in names if name not in own], self.rows)

    def all(self, exact: bool) -> None:
        call, model = self.call, self.model
        floats = [info.name for info in model.outputs if info.dtype.startswith("float")]
        output = floats[0] if floats else None
        full = {**self._repeated(), **self.candidates}
        made = call("run", lambda: model.run(full))
        scores = call("score", lambda: model.score(self.request, self.candidates, output=output))
        if (
            made is not None
            and scores is not None
            and output is not None
            and exact
            and self._row_wise(made[output])
        ):
            axes = next(info.shape for info in model.outputs if info.name == output)
            _require_equal("score is run", scores, _as_scores(made[output], np.shape(scores), axes))
        if scores is not None:
            self._groups(scores, output)
            self._prepared(scores, output)
            self._best(scores, output)
            if self.random.random() < 0.6:
                self._catalog(scores, output, exact)
        for _ in range(self.random.choice((0, 2, 6))):
            self._hostile(output)

    def _repeated(self) -> dict[str, Any]:
        infos = {info.name: info for info in self.model.inputs}
        repeated = {}
        for name, value in self.request.items():
            shape = infos[name].shape
            axis = shape.index("N") if "N" in shape else None
            repeated[name] = value if axis is None else np.repeat(value, self.rows, axis=axis)
        return repeated

    def _row_wise(self, value: Any) -> bool:
        return (
            value.dtype == np.float32 and value.ndim > 0 and value.shape[0] == self.rows and self._has_rows()
        )

    def _has_rows(self) -> bool:
        """Whether the candidates tell how many they are."""
        return any("N" in info.shape for info in self.model.inputs if info.name in self.candidates)

    def _groups(self, scores: Any, output: str | None) -> None:
        """One group is the same as no groups."""
        found = self.call(
            "score groups",
            lambda: self.model.score(self.request, self.candidates, offsets=[0, self.rows], output=output),
        )
        if found is not None and self._has_rows():
            _require_equal("groups are scores", found, scores)

    def _prepared(self, scores: Any, output: str | None) -> None:
        prepared = self.call(
            "prepare",
            lambda: self.model.prepare([*self.request], [*self.candidates], output=output),
        )
        if prepared is None:
            return
        values = [*self.request.values(), *self.candidates.values()]
        found = self.call("prepared call", lambda: prepared(*values))
        if found is not None:
            _require_equal("prepared calls are scores", found, scores)
        for _ in range(self.random.choice((0, 3))):
            wrong = [damaged(self.random, value) if self.random.random() < 0.5 else value for value in values]
            options = {"out": strange(self.random)} if self.random.random() < 0.2 else {}
            self.call("prepared call", lambda wrong=wrong, options=options: prepared(*wrong, **options))

    def _best(self, scores: Any, output: str | None) -> None:
        k = self.random.choice((0, 1, 3, 100))
        best = self.call("top_k", lambda: self.model.top_k(self.request, self.candidates, k=k, output=output))
        if best is None or not _comparable(scores):
            return
        expected = np.sort(scores)[::-1][:k]
        _require_equal("top_k is the best scores", best.scores, expected)

    def _catalog(self, scores: Any, output: str | None, exact: bool) -> None:
        late = [name for name in self.candidates if self.random.random() < 0.2]
        items = {name: value for name, value in self.candidates.items() if name not in late}
        extra = {name: self.candidates[name] for name in late}
        numbered = self.random.random() < 0.6
        ids = np.arange(self.rows) * 3 if numbered else np.asarray([f"i{i}" for i in range(self.rows)])
        catalog = self.call("catalog", lambda: self.model.catalog(items, ids, candidates=late, output=output))
        if catalog is None:
            return
        found = self.call("catalog score", lambda: catalog.score(self.request, ids, extra or None))
        if found is not None and exact:
            _require_equal("the catalogue's scores are scores", found, scores)
        self.call("upsert", lambda: catalog.upsert(items, ids[::-1].copy()))
        if self.random.random() < 0.5:
            self.call("remove", lambda: catalog.remove(ids[: self.rows // 2]))
        self.call("catalog top_k", lambda: catalog.top_k(self.request, 3, candidates=extra or None))
        if self.random.random() < 0.3:
            self._saved(catalog, items, ids, extra)
        methods: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
            (
                "catalog score",
                catalog.score,
                {"request": self.request, "ids": ids, "candidates": extra or None},
            ),
            (
                "catalog top_k",
                catalog.top_k,
                {"request": self.request, "k": 3, "ids": ids, "exclude": ids[:1]},
            ),
            ("upsert", catalog.upsert, {"items": items, "ids": ids}),
            ("remove", catalog.remove, {"ids": ids[:1]}),
            ("catalog prepare", catalog.prepare, {"request_names": [*self.request], "candidate_names": late}),
        ]
        for _ in range(self.random.choice((0, 4))):
            self._with_damage(*self.random.choice(methods))
        self.call("catalog listing", lambda: (len(catalog), catalog.ids, str(catalog.explain())))

    def _saved(self, catalog: pi.Catalog, items: Any, ids: Any, extra: Any) -> None:
        def change(each: pi.Catalog) -> None:
            each.upsert(items, ids)
            each.remove(ids[:1])

        asked = self.request, ids, extra or None
        wrong = try_saved(self.call, self.random, catalog, asked, change, MAX_BYTES)
        if wrong:
            raise FindingError("property a saved catalogue is the catalogue", ", ".join(wrong))

    def _hostile(self, output: str | None) -> None:
        """One call with a damaged argument."""
        request, candidates, ids = self.request, self.candidates, np.arange(self.rows)
        model = self.model
        methods: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
            ("run", model.run, {"inputs": {**self._repeated(), **candidates}}),
            ("score", model.score, {"request": request, "candidates": candidates}),
            (
                "score",
                model.score,
                {
                    "request": request,
                    "candidates": candidates,
                    "offsets": np.asarray([0, self.rows]),
                    "output": output,
                },
            ),
            ("top_k", model.top_k, {"request": request, "candidates": candidates, "k": 3, "ids": ids}),
            (
                "top_k",
                model.top_k,
                {"request": request, "candidates": candidates, "exclude": ids[:2], "boost": ids.astype("f4")},
            ),
            (
                "prepare",
                model.prepare,
                {
                    "request_names": [*request],
                    "candidate_names": [*candidates],
                    "max_rows": 5,
                    "output": output,
                },
            ),
            (
                "catalog",
                model.catalog,
                {"items": candidates, "ids": ids, "candidates": (), "precision": "int8"},
            ),
            ("explain", model.explain, {"request": [*request], "output": output}),
        ]
        self._with_damage(*self.random.choice(methods))

    def _with_damage(self, name: str, method: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        changed = dict(arguments)
        key = self.random.choice(sorted(changed))
        changed[key] = damaged(self.random, changed[key])
        self.call(name, lambda: method(**changed))


def _as_scores(value: Any, shape: tuple[int, ...], axes: tuple[Any, ...]) -> Any:
    """An output of `run` in the shape in which `score` gives it, rows first; of two classes the second."""
    if len(axes) == value.ndim and "N" in axes:
        value = np.moveaxis(value, axes.index("N"), 0)
    if shape == value.shape[:1] and value.shape[1:] == (2,):
        return value[:, 1]
    return value.reshape(shape) if value.size == np.prod(shape) else value


def _compare_backend(call: Calls, random: Random, model: pi.Model, source: Any, backend: str) -> None:
    """The same finite results on another backend."""
    with _forced(backend):
        other = call("load elsewhere", lambda: pi.load(source, max_bytes=MAX_BYTES))
    if other is None:
        return
    full = fitting(random, model.inputs, 5)
    with _forced(backend):
        found = call("run elsewhere", lambda: other.run(full))
    plain = call("load", lambda: pi.load(source, max_bytes=MAX_BYTES))
    expected = None if plain is None else call("run", lambda: plain.run(full))
    if found is None or expected is None:
        if (found is None) != (expected is None):
            raise FindingError("property backends", f"only one of them refused, {backend}: {found is None}")
        return
    for name, value in expected.items():
        _require_equal(f"backends agree with {backend}", found[name], value)


def other_backends() -> tuple[str, ...]:
    """A backend to compare the best one with."""
    return ("scalar",) if "scalar" in available_backends()[1:] else ()
