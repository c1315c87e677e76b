"""Screened results beside those of scoring all: ``python -m tests.fuzz.screened --models 1000``.

Random networks (layers with ReLU, some behind cross layers or dot products of vectors, weights of all sizes,
outliers among them) over items many of which are alike or nearly alike, so that the last result has rivals
within the error of int8. In some of them items' errors all point the way in which the layers lean, and
are nearly as large as their bounds: ``--bounds 0.1`` makes bounds a tenth as large, which has to be noticed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
from onnx import helper

import pyrec_infer as pi
from pyrec_infer.catalog import screen
from pyrec_infer.catalog.bounds import ScoreBound
from pyrec_infer.top_k import best_rows

USER, ITEM = 16, 24
WIDTH = USER + ITEM

VECTOR, VECTORS = 8, 10
"""Size of vectors whose dot products are made, and how many a request has: enough for a matrix of its own."""

ROWS = (7, 300)
"""Of the tables that an item's ids stand for."""

STEPS = 127
"""What the largest number of a row becomes in int8."""

Floats = np.ndarray


@dataclass
class Tally:
    """What was compared.

    Attributes
    ----------
    models, requests : int
        How many of each were screened.
    items, refined : int
        How many were to be found, and how many of them were scored in full.
    faults : list of str
    """

    models: int = 0
    requests: int = 0
    items: int = 0
    refined: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        share = self.refined / max(self.items, 1)
        return f"{self.models} models, {self.requests} requests, {share:.1%} of the items scored in full"


class Network:
    """Writes a random network of one score.

    Attributes
    ----------
    leans : bool
        Whether its layers' weights all point one way; `leaning_items` are for it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.leans = bool(rng.random() < 0.25)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Floats] = {}

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def layer(self, x: str, features: int, columns: int, size: float) -> str:
        weights = self.rng.standard_normal((features, columns)) * size * (2 / features) ** 0.5
        if self.rng.random() < 0.2:
            weights[self.rng.integers(features)] *= 30
        return self.given_layer(x, weights, self.rng.standard_normal(columns) * 0.1 * size)

    def given_layer(self, x: str, weights: Floats, bias: Floats) -> str:
        names = [f"w{len(self.nodes)}", f"b{len(self.nodes)}"]
        self.constants.update(zip(names, (weights.astype(np.float32), bias.astype(np.float32)), strict=True))
        return self.node("Gemm", x, *names)

    def leaning(self, x: str) -> tuple[str, int]:
        """A layer in int8 all of whose weights are nearly alike. Its rows are an item's numbers, twice, and
        what is the largest number of each row, so that the others are in steps.
        """
        rng, places = self.rng, np.arange(2 * ITEM)
        first = np.zeros((WIDTH, 2 * ITEM + 1))
        first[USER + places % ITEM, places] = 1
        first[:USER, -1] = 1e-4 * rng.standard_normal(USER)
        x = self.node(
            "Relu", self.given_layer(x, first, np.where(np.arange(2 * ITEM + 1) < 2 * ITEM, 0, STEPS))
        )
        columns = int(rng.integers(32, 130))
        weights = (1 + 0.03 * rng.standard_normal((2 * ITEM + 1, columns))) * rng.uniform(0.5, 1, columns)
        return self.node("Relu", self.given_layer(x, weights, rng.standard_normal(columns))), columns

    def crossed(self, first: str, layers: int, size: float) -> str:
        """Cross layers: the last one is turned, and the one before it becomes int8."""
        x = first
        for _ in range(layers):
            x = self.node("Add", self.node("Mul", first, self.layer(x, WIDTH, WIDTH, size)), x)
        return x

    def constant(self, value: Floats) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def dotted(self) -> tuple[str, int]:
        """Dot products of all pairs of a request's vectors and an item's, some of which are looked up."""
        user = self.node("Relu", self.layer("user", USER, VECTORS * VECTOR, 1.0))
        parts = [user, "item"]
        for place, rows in enumerate(ROWS):
            table = self.constant(self.rng.standard_normal((rows, VECTOR)).astype(np.float32))
            ids = self.node("Gather", "ids", self.constant(np.asarray(place)), axis=1)
            parts.append(self.node("Gather", table, ids))
        count = VECTORS + ITEM // VECTOR + len(ROWS)
        flat = self.node("Concat", *parts, axis=1)
        vectors = self.node("Reshape", flat, self.constant(np.asarray([-1, count, VECTOR])))
        turned = self.node("Transpose", vectors, perm=[0, 2, 1])
        square = self.constant(np.asarray([-1, count * count]))
        left, right = np.triu_indices(count, 1)
        dots = self.node("Reshape", self.node("MatMul", vectors, turned), square)
        return self.node("Gather", dots, self.constant(left * count + right), axis=1), len(left)

    def made(self) -> bytes:
        from support.models import FLOAT, INT64, make_model

        rng = self.rng
        x, features = self.node("Concat", "user", "item", axis=1), WIDTH
        size = float(10 ** rng.uniform(-2, 2)) if rng.random() < 0.3 else 1.0
        kind = rng.random()
        if self.leans:
            x, features = self.leaning(x)
        elif kind < 0.25:
            x = self.crossed(x, int(rng.integers(3, 5)), min(size, 3.0))
        else:
            if kind > 0.75:
                x, features = self.dotted()
            for columns in rng.integers(32, 130, rng.integers(2, 4)).tolist():
                x, features = self.node("Relu", self.layer(x, features, columns, size)), columns
        if self.leans:
            # Small enough for sums that a sigmoid tells apart.
            weights = (1 + 0.03 * rng.standard_normal((features, 1))) / (1000 * features)
            sums = self.given_layer(x, weights, np.zeros(1))
        else:
            sums = self.layer(x, features, 1, float(10 ** rng.uniform(-1, 1.5)))
            if rng.random() < 0.5:
                sums = self.node("Add", sums, self.layer("item", ITEM, 1, 1.0))
        last = self.node(str(rng.choice(["Identity", "Sigmoid"])), sums)
        self.nodes.append(helper.make_node("Identity", [last], ["score"]))
        inputs = {
            "user": (FLOAT, ["N", USER]),
            "item": (FLOAT, ["N", ITEM]),
            "ids": (INT64, ["N", len(ROWS)]),
        }
        made = make_model(self.nodes, inputs, {"score": (FLOAT, ["N", 1])}, self.constants)
        return bytes(made.SerializeToString())


def items(rng: np.random.Generator, count: int) -> dict[str, Floats]:
    """Half of them are others over again, or nearly so; a few have unusual numbers."""
    made = rng.standard_normal((count, ITEM))
    half = count // 2
    ids = np.stack([rng.integers(0, rows, count) for rows in ROWS], axis=1)
    others = rng.integers(half, size=count - half)
    made[half:], ids[half:] = made[others], ids[others]
    made[half:] *= 1 + rng.choice([0, 1e-7, 1e-5, 1e-3], (count - half, 1)) * rng.standard_normal(
        (count - half, ITEM)
    )
    if rng.random() < 0.1:
        made[rng.integers(count, size=3), rng.integers(ITEM)] = rng.choice(
            [np.nan, np.inf, 1e30, -1e38, 1e-40]
        )
    return {"item": made.astype(np.float32), "ids": ids}


def leaning_items(rng: np.random.Generator, count: int) -> dict[str, Floats]:
    """The best lose nearly half a step of each number to rounding; others, which lose none, seem better."""
    base = rng.integers(20, 100, ITEM)
    made = np.stack([rng.permutation(base) for _ in range(count)]).astype(np.float64)
    kind = rng.integers(10, size=count)
    made[kind == 0] += 0.48
    # Half of what the best lose is in the half of the ReLU that is made in float32.
    made[kind == 1, : ITEM * 3 // 8] += 1
    made[kind > 1, :] -= rng.integers(1, 20, (np.count_nonzero(kind > 1), 1))
    made += 1e-3 * rng.standard_normal(made.shape)
    ids = np.stack([rng.integers(0, rows, count) for rows in ROWS], axis=1)
    return {"item": made.astype(np.float32), "ids": ids}


def _compare(catalog: pi.Catalog, users: Floats, k: int) -> tuple[int, str]:
    """How many items were scored in full, and what is wrong with the results."""
    # One request over few items is scored by another way.
    found = catalog.top_k({"user": users}, k)
    for place, user in enumerate(users):
        scores = catalog.score({"user": user[None]})
        rows = best_rows(scores, k)
        same = found.ids[place].tolist() == rows.tolist()
        if not same or found.scores[place].tobytes() != scores[rows].tobytes() or not found.certified:
            return found.refined, f"request {place}: other results than by scoring all"
    return found.refined, ""


def run(models: int, requests: int = 2, count: int = 400, seed: int = 0, bounds: float = 1.0) -> Tally:
    """Compare the results of so many networks, each for two requests or more, which are all screened.

    ``bounds`` is what bounds of errors are multiplied with: less than one makes wrong ones.
    """
    tally = Tally()
    # Few are scored first, so that results rest on the bounds.
    small = {"_LEAST_SAVED": -1e9, "_LIKELY": 1}
    with mock.patch.multiple(screen, ScoreBound=partial(ScoreBound, times=bounds), **small):
        for place in range(models):
            rng = np.random.default_rng([seed, place])
            network = Network(rng)
            model, made = network.made(), leaning_items if network.leans else items
            catalog = pi.load(model, threads=1).catalog(made(rng, count))
            screens, why = catalog._scorer.screening
            if screens is None:
                tally.faults.append(f"model {place} is not screened: {why}")
                continue
            screens._most = 1.0
            tally.models += 1
            users = rng.standard_normal((requests, USER)).astype(np.float32)
            refined, fault = _compare(catalog, users, int(rng.integers(1, 25)))
            tally.requests += requests
            tally.items += count * requests
            tally.refined += refined
            if fault:
                tally.faults.append(f"model {place}, {fault}")
    return tally


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.screened", description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bounds", type=float, default=1.0, help="what bounds are multiplied with")
    given = parser.parse_args()
    found = run(given.models, given.requests, seed=given.seed, bounds=given.bounds)
    print(found, *found.faults, sep="\n")
    sys.exit(bool(found.faults))
