"""Plots of the report: throughput over the number of candidates, and times of single calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.rulers.compare import Result
from benchmarks.rulers.inputs import RULERS
from benchmarks.rulers.tables import CONTESTANTS, title

# The same measurements give the same file.
pyplot.rcParams["svg.hashsalt"] = "pyrec_infer"
_METADATA = {"Date": None}

_OURS = ("#08519c", "#3182bd", "#6baed6", "#9ecae1")
_PEERS = ("#d94801", "#8c6d31", "#636363", "#969696", "#bdbdbd", "#252525")


def _colours(names: Sequence[str]) -> dict[str, str]:
    """Ours in blues, peers in other colours, always in the order of the contestants."""
    known = [name for name in CONTESTANTS if name in names]
    ours = [name for name in known if CONTESTANTS[name].ours]
    peers = [name for name in known if not CONTESTANTS[name].ours]
    pairs = [*zip(ours, _OURS * 2, strict=False), *zip(peers, _PEERS, strict=False)]
    return dict(pairs)


def _label(name: str) -> str:
    return f"pyrec_infer, {name}" if CONTESTANTS[name].ours else name


def _curves(axes: Axes, results: Sequence[Result], colours: dict[str, str], heading: str) -> None:
    for name, colour in colours.items():
        points = sorted((item.count, item.rate) for item in results if item.contestant == name)
        if points:
            ours = CONTESTANTS[name].ours
            counts, rates = zip(*points, strict=True)
            style = {"marker": "o" if ours else "s", "linestyle": "-" if ours else "--"}
            axes.loglog(counts, rates, color=colour, label=_label(name), markersize=4, **style)
    axes.set_title(heading, fontsize=10)
    axes.grid(True, which="major", alpha=0.3)


def _throughput(results: Sequence[Result], path: Path) -> None:
    rulers = [ruler for ruler in RULERS if any(item.ruler == ruler for item in results)]
    colours = _colours([item.contestant for item in results])
    columns = min(3, len(rulers))
    rows = -(-len(rulers) // columns)
    size = (4 * columns, 3.2 * rows) if len(rulers) > 1 else (7, 4.2)
    figure, places = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for place, ruler in zip(places.flat, rulers, strict=False):
        _curves(place, [item for item in results if item.ruler == ruler], colours, title(ruler))
    free = list(places.flat)[len(rulers) :]
    for place in free:
        place.axis("off")
    handles, labels = places.flat[0].get_legend_handles_labels()
    if free:
        free[0].legend(handles, labels, loc="center", fontsize=9, frameon=False)
    else:
        places.flat[0].legend(fontsize=8)
    figure.supxlabel("candidates in a call", fontsize=10)
    figure.supylabel("candidates a second, one thread", fontsize=10)
    figure.savefig(path, metadata=_METADATA)
    pyplot.close(figure)


def _latency(results: Sequence[Result], path: Path) -> None:
    counts = sorted({item.count for item in results})
    colours = _colours([item.contestant for item in results])
    size = (3.6 * len(counts), 0.3 * len(colours) + 1.4)
    figure, places = pyplot.subplots(
        1, len(counts), figsize=size, squeeze=False, sharey=True, layout="constrained"
    )
    names = list(colours)[::-1]
    for place, count in zip(places.flat, counts, strict=True):
        for row, name in enumerate(names):
            times = [item.seconds for item in results if item.count == count and item.contestant == name]
            if times:
                middle, high = np.percentile(times[0], [50, 99]) * 1e6
                place.plot([middle, high], [row, row], color=colours[name], linewidth=1.5)
                place.plot([middle], [row], marker="o", color=colours[name], markersize=7)
                place.plot([high], [row], marker="|", color=colours[name], markersize=9)
                place.annotate(f"{middle:.0f}", (middle, row + 0.3), ha="center", fontsize=7)
        place.set_xscale("log")
        place.set_yticks(range(len(names)), [_label(name) for name in names], fontsize=8)
        place.set_title(f"N = {count}", fontsize=10)
        place.grid(True, axis="x", alpha=0.3)
        place.margins(x=0.15, y=0.1)
    figure.supxlabel(
        "R1, one call in microseconds: median (dot and number) and 99th percentile (line)", fontsize=9
    )
    figure.savefig(path, metadata=_METADATA)
    pyplot.close(figure)


def draw(curves: Sequence[Result], latencies: Sequence[Result], folder: Path, machine: str) -> list[str]:
    """Write the plots of a kind of processor; the names of the files."""
    made = []
    for name, results, plot in (
        (f"throughput_{machine}.svg", curves, _throughput),
        (f"latency_{machine}.svg", latencies, _latency),
    ):
        measured = [item for item in results if item.seconds]
        if measured:
            plot(measured, folder / name)
            made.append(name)
    return made
