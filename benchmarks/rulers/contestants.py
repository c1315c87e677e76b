"""Who is measured: this library in all its ways, and general runtimes that are given the same work.

The runtimes get the request's row already repeated for every candidate, made before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pyrec_infer as pi
from benchmarks.rulers.inputs import Arrays, Case, make_cases, stock

Scores = NDArray[np.float32]
Call = Callable[[], Scores]


class Unavailable(Exception):
    """Why a contestant cannot take part."""


@dataclass(frozen=True)
class Work:
    """What one comparison is about.

    Attributes
    ----------
    ruler : str
    folder : Path
        Where the models are.
    threads : int
    cases : tuple of Case
        Requests with the same number of candidates, scored one after another.
    """

    ruler: str
    folder: Path
    threads: int
    cases: tuple[Case, ...]

    @property
    def model(self) -> Path:
        return self.folder / f"{self.ruler}.onnx"

    @property
    def count(self) -> int:
        return len(self.cases[0].rows)


def make_work(ruler: str, folder: Path, count: int, threads: int) -> Work:
    """Work with enough requests that no candidate's data stay in the smallest caches."""
    number = 32 if count <= 100 else max(1, 4000 // count)
    return Work(ruler, folder, threads, make_cases(ruler, count, number))


@dataclass(frozen=True)
class Contestant:
    """One way to score.

    Attributes
    ----------
    name : str
    make : callable
        From the work to one call for each of its cases; raises `Unavailable`.
    ours : bool
    mode : str
        ``"score"`` or ``"catalogue"`` for ours; ``"batch"`` or ``"split by hand"`` for peers.
    precision : str
        ``"fp32"`` contestants have to agree with the reference, others report how far off they are.
    planned : callable or None
        FLOPs for each candidate as the plan has them; for ours.
    """

    name: str
    make: Callable[[Work], list[Call]]
    ours: bool
    mode: str
    precision: str = "fp32"
    planned: Callable[[Work], int] | None = None


@lru_cache(maxsize=4)
def _load(path: Path, threads: int, precision: str) -> pi.Model:
    return pi.load(path, threads=threads, precision=precision)


@lru_cache(maxsize=3)
def _catalogue(path: Path, threads: int, precision: str, ruler: str) -> Any:
    return _load(path, threads, precision).catalog(stock(ruler), precision=precision)


def _score(work: Work, precision: str) -> list[Call]:
    model = _load(work.model, work.threads, precision)
    return [partial(model.score, case.request, case.candidates) for case in work.cases]


def _prepared(work: Work, precision: str) -> list[Call]:
    model = _load(work.model, work.threads, precision)
    case = work.cases[0]
    call = model.prepare(tuple(case.request), tuple(case.candidates))
    return [
        partial(call, *case.request.values(), *case.candidates.values(), out=np.empty(work.count, np.float32))
        for case in work.cases
    ]


def _planned(work: Work, precision: str) -> int:
    model = _load(work.model, work.threads, precision)
    rates = model.explain(tuple(work.cases[0].request)).as_dict()["work"]
    return int(rates["item"]["flops"] + rates["pair"]["flops"])


def _from_catalogue(work: Work, precision: str) -> list[Call]:
    catalogue = _catalogue(work.model, work.threads, precision, work.ruler)
    return [partial(catalogue.score, case.request, case.rows) for case in work.cases]


def _planned_catalogue(work: Work, precision: str) -> int:
    catalogue = _catalogue(work.model, work.threads, precision, work.ruler)
    return int(catalogue.explain().as_dict()["work"]["pair"]["flops"])


def _prepared_catalogue(work: Work, precision: str) -> list[Call]:
    catalogue = _catalogue(work.model, work.threads, precision, work.ruler)
    call = catalogue.prepare(tuple(work.cases[0].request))
    return [
        partial(call, *case.request.values(), ids=case.rows, out=np.empty(work.count, np.float32))
        for case in work.cases
    ]


@lru_cache(maxsize=3)
def _session(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise Unavailable("onnxruntime is not installed") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _onnxruntime(work: Work) -> list[Call]:
    session = _session(work.model, work.threads)

    def score(batch: Arrays) -> Scores:
        scores: Scores = session.run(None, batch)[0]
        return scores

    return [partial(score, case.repeated()) for case in work.cases]


def _split_onnxruntime(work: Work) -> list[Call]:
    paths = [work.folder / f"{work.ruler}_{half}.onnx" for half in ("user", "candidates")]
    if not paths[0].exists():
        raise Unavailable("not split by hand")
    user, rest = (_session(path, work.threads) for path in paths)
    shared = [output.name for output in user.get_outputs()]

    def score(case: Case) -> Scores:
        handed = dict(zip(shared, user.run(None, case.request), strict=True))
        scores: Scores = rest.run(None, {**case.candidates, **handed})[0]
        return scores

    return [partial(score, case) for case in work.cases]


@lru_cache(maxsize=2)
def _compiled(path: Path, threads: int, precision: str) -> Any:
    try:
        import openvino
    except ImportError:
        raise Unavailable("OpenVINO is not installed") from None
    core = openvino.Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unavailable("this processor has no bf16 instructions")
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
    }
    return core.compile_model(str(path), "CPU", options).create_infer_request()


def _openvino(work: Work, precision: str) -> list[Call]:
    request = _compiled(work.model, work.threads, precision)

    def score(batch: Arrays) -> Scores:
        made: Scores = request.infer(batch, share_inputs=True, share_outputs=True)[0]
        return made

    return [partial(score, case.repeated()) for case in work.cases]


@lru_cache(maxsize=1)
def _module(ruler: str) -> Any:
    from benchmarks.rulers.models import build

    return build(ruler)


def _torch(work: Work, compiled: bool) -> list[Call]:
    try:
        import torch
    except ImportError:
        raise Unavailable("PyTorch is not installed") from None
    torch.set_num_threads(work.threads)
    module = _module(work.ruler)
    if compiled:
        import torch._dynamo
        import torch._inductor.config

        torch._dynamo.reset()
        # Weights become constants, laid out for the processor: what one would do to serve.
        torch._inductor.config.freezing = True
        module = torch.compile(module, dynamic=False)

    def score(batch: list[Any]) -> Scores:
        with torch.no_grad():
            made: Scores = module(*batch).numpy()
        return made

    batches = [[torch.from_numpy(value) for value in case.repeated().values()] for case in work.cases]
    return [partial(score, batch) for batch in batches]


def _own(mode: str, precision: str, prepared: bool = False) -> Contestant:
    makers = {
        ("score", False): _score,
        ("score", True): _prepared,
        ("catalogue", False): _from_catalogue,
        ("catalogue", True): _prepared_catalogue,
    }
    planned = _planned if mode == "score" else _planned_catalogue
    name = f"{'prepared ' if prepared else ''}{mode} {precision}"
    make = partial(makers[mode, prepared], precision=precision)
    return Contestant(name, make, True, mode, precision, partial(planned, precision=precision))


OURS = tuple(
    _own(mode, precision) for mode in ("score", "catalogue") for precision in ("fp32", "bf16", "int8")
)
PREPARED = (_own("score", "fp32", True), _own("catalogue", "fp32", True), _own("catalogue", "int8", True))
PEERS = (
    Contestant("onnxruntime", _onnxruntime, False, "batch"),
    Contestant("OpenVINO", partial(_openvino, precision="fp32"), False, "batch"),
    Contestant("OpenVINO bf16", partial(_openvino, precision="bf16"), False, "batch", "bf16"),
    Contestant("PyTorch", partial(_torch, compiled=False), False, "batch"),
    Contestant("PyTorch compiled", partial(_torch, compiled=True), False, "batch"),
    Contestant("onnxruntime, split by hand", _split_onnxruntime, False, "split by hand"),
)


def named(*names: str) -> tuple[Contestant, ...]:
    """Contestants by name."""
    known = {item.name: item for item in (*OURS, *PREPARED, *PEERS)}
    return tuple(known[name] for name in names)


def forget() -> None:
    """Free the models and catalogues that are kept between comparisons."""
    for kept in (_catalogue, _load, _session, _compiled, _module, stock):
        kept.cache_clear()
