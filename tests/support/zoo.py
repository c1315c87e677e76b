"""The exported models of the shared folder, each loaded once for all tests that need it."""

from __future__ import annotations

import json
import time
from functools import cached_property
from typing import Any

import numpy as np

import pyrec_infer as pi
from support.likeness import digest
from support.shared import shared_folder

ZOO = shared_folder() / "zoo"
MODELS = sorted(path.name for path in (ZOO / "models").glob("*")) if ZOO.is_dir() else []

Arrays = dict[str, np.ndarray[Any, Any]]

# Another order of operations may round a float16 to its neighbour: two units in the last place at 1.
FLOAT16 = {"rtol": 0.0, "atol": 2 * 2.0**-11}


def row_axes(model: pi.Model) -> dict[str, int]:
    return {item.name: item.shape.index("N") for item in model.inputs if "N" in item.shape}


ZOO_ROWS: list[tuple[str, str, float, float]] = []
"""Model, status, largest difference and seconds, as the zoo's test finds them."""


_FIRST: dict[str, str] = {}
"""By digest the first model that was asked for its twin."""


class Export:
    """One exported model: what it takes, and what its framework makes of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = ZOO / "models" / name / "model.onnx"
        self.loading = 0.0
        """Seconds that `model` took to load."""

    @cached_property
    def model(self) -> pi.Model:
        start = time.perf_counter()
        model = pi.load(self.path)
        self.loading = time.perf_counter() - start
        return model

    @property
    def is_exported_otherwise_too(self) -> bool:
        """Whether the zoo has the same model from PyTorch's other exporter.

        After `LOAD` the two are the same to any backend.
        """
        return self.name.endswith("_dynamo") and self.name.removesuffix("dynamo") + "ts" in MODELS

    @cached_property
    def twin(self) -> str | None:
        """The model asked before this one whose graph is the same after `LOAD`: of two exporters, say.

        What later phases make of the two is the same as well.
        """
        first = _FIRST.setdefault(digest(self.model._graph), self.name)
        return None if first == self.name else first

    def has(self, kind: str) -> bool:
        return self.path.with_name(f"{kind}.npz").exists()

    def arrays(self, kind: str) -> Arrays:
        with np.load(self.path.with_name(f"{kind}.npz")) as stored:
            return {key: stored[key] for key in stored.files}

    @cached_property
    def tolerance(self) -> dict[str, float]:
        """1e-5 relative, and the absolute error that the zoo names for a model of these outputs."""
        if "fp16" in self.name:
            return FLOAT16
        meta = json.loads(self.path.with_name("meta.json").read_text())
        return {"rtol": 1e-5, "atol": min(meta["suggest_atol"], 1e-3)}

    @cached_property
    def by_column(self) -> tuple[pi.Model, Arrays]:
        """The model and its inputs; a matrix that is its only input comes apart: each column has a side."""
        model, inputs = self.model, self.arrays("inputs")
        matrix = next(
            (item for item in model.inputs if len(item.shape) == 2 and isinstance(item.shape[1], int)), None
        )
        if len(model.inputs) == 1 and matrix is not None and matrix.shape[1] != 1:
            labels = [f"column {i}" for i in range(int(matrix.shape[1]))]
            model = pi.load(self.path, columns={matrix.name: labels})
            inputs = {label: inputs[matrix.name][:, i] for i, label in enumerate(labels)}
        return model, inputs
