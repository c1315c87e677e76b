"""Markdown of measurements: goals, ratios to the best peer, share of the arithmetic limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.rulers.compare import Result
from benchmarks.rulers.contestants import OURS, PEERS, PREPARED, Contestant
from benchmarks.rulers.flops import flops
from benchmarks.rulers.inputs import RULERS

CONTESTANTS = {item.name: item for item in (*OURS, *PREPARED, *PEERS)}
HAND_SPLIT = PEERS[-1].name

Goals = Mapping[tuple[str, str], float]

GOALS: Mapping[str, Goals] = {
    "avx512": {
        ("r1", "score fp32"): 2.8,
        ("r1", "catalogue fp32"): 5.8,
        ("r1", "catalogue bf16"): 11,
        ("r1", "catalogue int8"): 16,
        ("r2", "score fp32"): 1.5,
        ("r2", "catalogue fp32"): 1.8,
        ("r2", "catalogue bf16"): 3.5,
        ("r2", "catalogue int8"): 6,
        ("r3", "score fp32"): 2.5,
        ("r3", "catalogue bf16"): 5,
        ("r3", "catalogue int8"): 8,
        ("r4", "score fp32"): 1.35,
        ("r4", "score bf16"): 2.6,
        ("r4", "score int8"): 4.5,
        ("r5", "score fp32"): 5,
    },
    "avx2": {
        ("r1", "score fp32"): 2.8,
        ("r1", "catalogue fp32"): 5.3,
        ("r1", "catalogue int8"): 7,
        ("r2", "score fp32"): 1.75,
        ("r2", "catalogue fp32"): 2.2,
        ("r2", "catalogue int8"): 3.2,
        ("r3", "score fp32"): 2.5,
        ("r3", "catalogue fp32"): 2.8,
        ("r3", "catalogue int8"): 4.3,
        ("r4", "score fp32"): 1.4,
        ("r4", "catalogue fp32"): 1.7,
        ("r4", "catalogue int8"): 3,
        ("r5", "score fp32"): 2.8,
        ("r5", "score int8"): 3.2,
    },
}
"""By backend: speed over the best fp32 peer on one core at N = 1000; those of bf16 need its instructions."""

LATENCY_GOALS: Mapping[tuple[int, str], float] = {
    (1, "prepared score fp32"): 8e-6,
    (100, "prepared score fp32"): 100e-6,
    (100, "prepared catalogue fp32"): 50e-6,
}
"""Seconds at the median."""

Peak = Mapping[str, float | None]


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table.

    Examples
    --------
    >>> print(markdown(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "|" + "|".join(row) + "|" if row[0] == "---" else f"| {' | '.join(row)} |" for row in lines
    )


def title(ruler: str) -> str:
    """How a ruler is called in tables."""
    return f"{ruler.upper()} {RULERS[ruler]}"


def number(value: float) -> str:
    """Three significant digits, never in scientific notation.

    Examples
    --------
    >>> number(0.01234), number(12.34), number(1234.5)
    ('0.0123', '12.3', '1234')
    """
    digits = 2 - int(np.floor(np.log10(abs(value)))) if value else 0
    return f"{value:.{max(0, digits)}f}"


def best_peer(results: Sequence[Result], precision: str = "fp32") -> Result | None:
    """The fastest general runtime of a precision that was given the whole model."""
    allowed = {item.name for item in PEERS if item.mode == "batch" and item.precision == precision}
    peers = [item for item in results if item.contestant in allowed and item.seconds]
    return max(peers, key=lambda item: item.rate, default=None)


def limit(contestant: Contestant, peak: Peak) -> float | None:
    """The processor's speed at the contestant's precision; bf16 without instructions is fp32 arithmetic."""
    found = peak.get(contestant.precision)
    return peak.get("fp32") if found is None and contestant.precision == "bf16" else found


def _ratio(result: Result, results: Sequence[Result], precision: str = "fp32") -> float | None:
    best = best_peer(results, precision)
    return None if best is None or not result.seconds else result.rate / best.rate


def _times(value: float | None) -> str:
    return "" if value is None else f"{number(value)}x"


def _row(result: Result, results: Sequence[Result], peak: Peak, goals: Goals) -> list[str]:
    contestant = CONTESTANTS[result.contestant]
    name = f"**{contestant.name}**" if contestant.ours else contestant.name
    if not result.seconds:
        return [name, result.reason.replace("|", "\\|"), *[""] * (len(_HEADER) - 2)]
    goal = None if result.threads > 1 else goals.get((result.ruler, contestant.name))
    speed = share = planned = ""
    if contestant.mode != "batch":
        ideal = flops(result.ruler, contestant.mode == "catalogue")
        if result.planned is not None:
            planned = f"{number(result.planned / 1000)} of {number(ideal / 1000)}"
        done = ideal * result.rate * 1e-9
        most = limit(contestant, peak)
        speed = number(done)
        share = "" if most is None else f"{100 * done / (most * result.threads):.0f} %"
    low, high = np.percentile(result.seconds, [25, 75])
    answer = result.answer
    return [
        name,
        f"{number(result.rate * 1e-6)}",
        f"{100 * (high - low) / np.median(result.seconds):.0f} %",
        _times(_ratio(result, results)),
        _times(_ratio(result, results, "bf16") if contestant.precision == "bf16" else None),
        _times(goal),
        planned,
        speed,
        share,
        "" if answer is None else f"{answer.error:.1g}",
        "" if answer is None or answer.overlap is None else f"{100 * answer.overlap:.1f} %",
    ]


_HEADER = (
    "contestant",
    "M candidates/s",
    "quartiles' distance",
    "to the best fp32 peer",
    "to the best bf16 peer",
    "goal",
    "kFLOPs planned",
    "GFLOPS after the split",
    "of the limit",
    "largest error",
    "same top 100",
)


def _place(result: Result) -> tuple[int, int]:
    """Ours first, in the order of the lists."""
    return result.count, list(CONTESTANTS).index(result.contestant)


def ruler_table(results: Sequence[Result], peak: Peak, goals: Goals) -> str:
    """Everything measured for one ruler at one size: a row for each contestant."""
    return markdown(_HEADER, [_row(item, results, peak, goals) for item in sorted(results, key=_place)])


def summary(results: Sequence[Result], goals: Goals) -> str:
    """One row for each ruler: the best peers, then ours as ``M candidates/s (ratio; goal)``.

    Ratios are to the best fp32 peer; for bf16 that to the best bf16 peer follows, where there is one.
    """
    header = ["ruler", "best peer", "best bf16 peer", "split by hand", *(item.name for item in OURS)]
    rows = []
    for ruler in RULERS:
        mine = {item.contestant: item for item in results if item.ruler == ruler}
        if not mine:
            continue
        measured = list(mine.values())
        best = [best_peer(measured, precision) for precision in ("fp32", "bf16")]
        by_hand = mine.get(HAND_SPLIT)
        cells = [
            title(ruler),
            *("none" if peer is None else f"{peer.contestant} {number(peer.rate * 1e-6)}" for peer in best),
            number(by_hand.rate * 1e-6) if by_hand and by_hand.seconds else "",
        ]
        for contestant in OURS:
            result = mine.get(contestant.name)
            if result is None or not result.seconds:
                cells.append("")
                continue
            goal = goals.get((ruler, contestant.name))
            narrow = _ratio(result, measured, "bf16") if contestant.precision == "bf16" else None
            notes = (
                _times(_ratio(result, measured)),
                f"goal {_times(goal)}" if goal else "",
                f"bf16 peer {_times(narrow)}" if narrow else "",
            )
            told = "; ".join(note for note in notes if note)
            cells.append(f"{number(result.rate * 1e-6)} ({told})" if told else number(result.rate * 1e-6))
        rows.append(cells)
    return markdown(header, rows)


def latency_table(results: Sequence[Result]) -> str:
    """Microseconds of single calls, a row for each contestant and number of candidates."""
    rows = []
    for result in sorted(results, key=_place):
        name = f"**{result.contestant}**" if CONTESTANTS[result.contestant].ours else result.contestant
        if not result.seconds:
            rows.append([str(result.count), name, result.reason.replace("|", "\\|"), "", ""])
            continue
        middle, high = np.percentile(result.seconds, [50, 99]) * 1e6
        goal = LATENCY_GOALS.get((result.count, result.contestant))
        told = "" if goal is None else number(goal * 1e6)
        rows.append([str(result.count), name, number(middle), number(high), told])
    return markdown(["N", "contestant", "p50 us", "p99 us", "goal p50"], rows)


def scaling_table(one: Iterable[Result], two: Iterable[Result]) -> str:
    """Our speed with two threads over that with one, where both were measured for as many candidates."""
    alone = {(item.ruler, item.contestant, item.count): item for item in one if item.seconds}
    names = [item.name for item in OURS]
    found: dict[str, dict[str, str]] = {}
    for item in two:
        single = alone.get((item.ruler, item.contestant, item.count))
        if single is not None and item.seconds and item.contestant in names:
            cell = f"{number(item.rate * 1e-6)} ({_times(item.rate / single.rate)})"
            found.setdefault(item.ruler, {})[item.contestant] = cell
    used = [name for name in names if any(name in cells for cells in found.values())]
    rows = [[title(ruler), *(cells.get(name, "") for name in used)] for ruler, cells in found.items()]
    return markdown(["two threads, N = 10,000", *used], rows)
