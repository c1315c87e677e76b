"""Exports a model, compares the answers to its inputs, and times who takes turns."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

import pyrec_infer as pi
from benchmarks.published.models import Arrays, build, inputs
from benchmarks.turns import take_turns
from pyrec_infer.errors import PyrecError

Scores = NDArray[np.float64]

CLOSE = 1e-5
"""How far answers may be apart before float64 decides who is nearer."""

ROWS_OF_EXPORT = 3


@dataclass(frozen=True)
class Measured:
    """How many times as fast as onnxruntime, or what is wrong.

    Attributes
    ----------
    score, catalogue : float
    trouble : str
        Why there is no figure: ``refused`` or ``WRONG`` and more; else empty.
    """

    score: float = 0.0
    catalogue: float = 0.0
    trouble: str = ""


def repeated(request: Arrays, candidates: Arrays) -> Arrays:
    """What a general runtime gets: the request's row for each candidate."""
    count = len(candidates["item"])
    rows = {name: np.repeat(value, count, axis=0) for name, value in request.items()} | candidates
    return {name: rows[name] for name in ("user", "item", "history") if name in rows}


def export(module: nn.Module, example: Arrays, path: Path, dynamo: bool) -> None:
    """Write a module with any number of rows."""
    values = tuple(torch.from_numpy(value) for value in example.values())
    write = partial(torch.onnx.export, module, values, str(path), input_names=list(example))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            rows = {name: {0: torch.export.Dim("batch")} for name in example}
            write(output_names=["score"], dynamo=True, dynamic_shapes=rows, verbose=False)
        else:
            axes = {name: {0: "batch"} for name in (*example, "score")}
            write(output_names=["score"], dynamo=False, dynamic_axes=axes)


def wide_answer(module: nn.Module, batch: Arrays) -> Scores:
    """PyTorch's scores in float64."""
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        # ``float()`` in a model is what rounds to float32 there.
        with unrounded():
            made: Scores = module.double()(*(torch.from_numpy(value) for value in batch.values())).numpy()
    finally:
        torch.set_default_dtype(kept)
    return made


class unrounded:
    """Makes `Tensor.float` give float64."""

    def __enter__(self) -> None:
        self.kept = torch.Tensor.float
        torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        torch.Tensor.float = self.kept  # type: ignore[method-assign]


def compare(ours: dict[str, Scores], theirs: Scores, wide: Callable[[], Scores]) -> str:
    """What is wrong with our answers, else nothing."""
    for way, scores in ours.items():
        if scores.shape != theirs.shape or not np.isfinite(scores).all():
            return f"WRONG: {way} is {scores.shape}, finite: {np.isfinite(scores).all()}"
        scale = max(1.0, float(np.abs(theirs).max()))
        if np.abs(scores - theirs).max() > CLOSE * scale:
            exact = wide()
            mine, other = (float(np.abs(made - exact).max()) for made in (scores, theirs))
            if mine > max(other, CLOSE * scale):
                return f"WRONG: {way} is off by {mine:.1g}, onnxruntime by {other:.1g}"
    return ""


def measure(name: str, dynamo: bool, rounds: int, count: int) -> Measured:
    """One model by one exporter."""
    module = build(name)
    request, candidates = inputs(module, count)
    batch = repeated(request, candidates)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            export(module, {key: value[:ROWS_OF_EXPORT] for key, value in batch.items()}, path, dynamo)
        # Exporters fail in many ways, of which none is ours.
        except Exception as error:
            return Measured(trouble=f"not exported: {type(error).__name__} {str(error)[:100]}")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        taken = {item.name for item in session.get_inputs()}
        batch, request = ({key: side[key] for key in side if key in taken} for side in (batch, request))
        try:
            model = pi.load(path, threads=1)
            catalogue = model.catalog(candidates)
            ids = np.arange(count)
            runs = {
                "onnxruntime": lambda: session.run(None, batch)[0],
                "score": lambda: model.score(request, candidates),
                "catalogue": lambda: catalogue.score(request, ids),
            }
            answers = {way: run().astype(np.float64) for way, run in runs.items()}
        # An error that is not typed is a fault of ours, which must not hide how other models fare.
        except Exception as error:
            how = "refused" if isinstance(error, PyrecError) else "FAILED"
            return Measured(trouble=f"{how}: {type(error).__name__}: {error}")
    theirs = answers.pop("onnxruntime")
    full = repeated(*inputs(module, count))
    trouble = compare(answers, theirs, lambda: wide_answer(module, full))
    if trouble or not rounds:
        return Measured(trouble=trouble)
    times = take_turns(runs, rounds)
    return Measured(times["onnxruntime"] / times["score"], times["onnxruntime"] / times["catalogue"])
