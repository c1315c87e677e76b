"""Comparing answers, then times: contestants take turns, so that a drift of the machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from benchmarks.rulers.contestants import Call, Contestant, Scores, Unavailable, Work

RELATIVE = 1e-4
ABSOLUTE = 1e-5
"""How far fp32 scores may be from the reference; they differ by the order of additions."""

TOP = 100

_REST = 0.02
"""Seconds before a turn: the threads of the contestant before may still spin."""


class Disagreement(AssertionError):
    """An answer that is not the reference's."""


@dataclass(frozen=True)
class Answer:
    """How near a contestant's scores are to the reference.

    Attributes
    ----------
    error : float
        The largest difference of two scores.
    overlap : float or None
        The part of the reference's best 100 that is among its own best 100, over all cases; None where
        there are not more candidates than that.
    """

    error: float
    overlap: float | None


@dataclass(frozen=True)
class Result:
    """One contestant's measurement.

    Attributes
    ----------
    ruler, contestant : str
    count, threads : int
    seconds : tuple of float
        Time of one call, one value for each round; for latencies one for each call.
    answer : Answer or None
    reason : str
        Why it was not measured, else empty.
    planned : int or None
        FLOPs for each candidate as its plan has them.
    """

    ruler: str
    contestant: str
    count: int
    threads: int
    seconds: tuple[float, ...] = ()
    answer: Answer | None = None
    reason: str = ""
    planned: int | None = None

    @property
    def rate(self) -> float:
        """Candidates a second, the median of the rounds."""
        return self.count / median(self.seconds)


def _overlap(scores: Scores, reference: Scores) -> float:
    best = [set(np.argsort(-values, kind="stable")[:TOP].tolist()) for values in (scores, reference)]
    return len(best[0] & best[1]) / TOP


def check(answers: Sequence[Scores], references: Sequence[Scores], exact: bool) -> Answer:
    """How near the answers are.

    Raises
    ------
    Disagreement
        An exact contestant's scores differ by more than rounding, or there are not as many.
    """
    errors, overlaps = [], []
    for scores, reference in zip(answers, references, strict=True):
        if scores.shape != reference.shape or not np.isfinite(scores).all():
            raise Disagreement(f"expected {reference.shape} finite scores, got {scores.shape}")
        if exact and not np.allclose(scores, reference, RELATIVE, ABSOLUTE):
            raise Disagreement(f"scores are off by up to {np.abs(scores - reference).max():.2g}")
        errors.append(float(np.abs(scores - reference).max()))
        if len(scores) > TOP:
            overlaps.append(_overlap(scores, reference))
    return Answer(max(errors), float(np.mean(overlaps)) if overlaps else None)


def _reason(error: Exception) -> str:
    if isinstance(error, Unavailable):
        return str(error)
    (first, *_) = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {first}"


@dataclass
class Field:
    """Contestants whose answers agree, ready to be timed.

    Attributes
    ----------
    work : Work
    calls : dict of str to list of Call
    answers : dict of str to Answer
    planned : dict of str to int
        Ours: FLOPs for each candidate as the plan has them.
    absent : dict of str to Exception
        Who does not take part, and why.
    """

    work: Work
    calls: dict[str, list[Call]] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)
    absent: dict[str, Exception] = field(default_factory=dict)

    def calls_of(self, name: str) -> list[Call]:
        """The calls of one contestant; raises why it has none."""
        if name in self.absent:
            raise self.absent[name]
        return self.calls[name]

    def results(self, seconds: Mapping[str, Sequence[float]]) -> list[Result]:
        """The measurements, and a result with a reason for everybody who was not measured."""
        work = self.work
        place = (work.count, work.threads)
        measured = [
            Result(
                *(work.ruler, name, *place, tuple(seconds[name]), self.answers[name]),
                planned=self.planned.get(name),
            )
            for name in self.calls
        ]
        missing = [
            Result(work.ruler, name, *place, reason=_reason(error)) for name, error in self.absent.items()
        ]
        return measured + missing


def assemble(work: Work, contestants: Iterable[Contestant]) -> Field:
    """Make every contestant and compare its answers; the first exact peer that works is the reference."""
    made = Field(work)
    references: list[Scores] = []
    for contestant in sorted(contestants, key=lambda item: (item.ours, item.precision != "fp32")):
        try:
            calls = contestant.make(work)
            answers = [np.array(call(), np.float32) for call in calls]
            references = references or answers
            made.answers[contestant.name] = check(answers, references, contestant.precision == "fp32")
            if contestant.planned is not None:
                made.planned[contestant.name] = contestant.planned(work)
            made.calls[contestant.name] = calls
        # Whatever goes wrong with one contestant, the others are measured.
        except Exception as error:
            made.absent[contestant.name] = error
    return made


def _time(calls: Sequence[Call], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        for call in calls:
            call()
    return (time.perf_counter() - start) / (repeats * len(calls))


def take_turns(field: Field, rounds: int, seconds: float) -> Iterable[dict[str, float]]:
    """Time of one call by contestant, for each round; a turn takes about ``seconds``."""
    turns = {
        name: max(1, round(seconds / (len(calls) * _time(calls, 1)))) for name, calls in field.calls.items()
    }
    for _ in range(rounds):
        found = {}
        for name, calls in field.calls.items():
            time.sleep(_REST)
            _time(calls, 1)  # Caches and threads are its own again.
            found[name] = _time(calls, turns[name])
        yield found


def latencies(field: Field, rounds: int) -> Iterable[dict[str, list[float]]]:
    """Times of single calls by contestant, for each round as many as there are cases."""
    for _ in range(rounds):
        found: dict[str, list[float]] = {}
        for name, calls in field.calls.items():
            _time(calls[:8], 1)
            found[name] = times = []
            for call in calls:
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
        yield found
