"""The rulers against general runtimes: ``python -m benchmarks.report [--quick] [--install]``.

All contestants of a ruler take turns in this one process; tables hold medians over the turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from benchmarks.peak import peak
from benchmarks.rulers import compare, tables
from benchmarks.rulers.compare import Result
from benchmarks.rulers.contestants import OURS, PEERS, PREPARED, Contestant, forget, make_work, named
from benchmarks.rulers.inputs import RULERS
from benchmarks.rulers.make import ensure
from pyrec_infer.backends import select_backend

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
PAGE = "docs/performance.md"
SIZES = (1, 10, 100, 1000, 10_000, 100_000)
LATENCY_SIZES = (1, 10, 100)
CURVE = named("score fp32", "catalogue fp32", "catalogue int8", "onnxruntime", "OpenVINO", "PyTorch")
LATENCY = (*named("score fp32", "catalogue fp32"), *PREPARED, *PEERS)


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        Turns of each contestant.
    seconds : float
        Length of a turn.
    calls : int
        Single calls of each contestant for latencies.
    curves : tuple of str
        Rulers whose throughput is measured over all sizes.
    largest : int
        The largest of those sizes.
    two_threads : bool
        Whether two threads are measured too.
    """

    rounds: int
    seconds: float
    calls: int
    curves: tuple[str, ...]
    largest: int
    two_threads: bool


FULL = Effort(15, 0.05, 4096, tuple(RULERS), 100_000, True)
QUICK = Effort(7, 0.01, 1024, ("r1",), 10_000, False)


@dataclass
class Report:
    """All measurements.

    Attributes
    ----------
    one_thread, two_threads : list of Result
        N = 1000 and N = 10,000.
    curves : list of Result
    latencies : list of Result
    peak : dict
    """

    one_thread: list[Result] = field(default_factory=list)
    two_threads: list[Result] = field(default_factory=list)
    curves: list[Result] = field(default_factory=list)
    latencies: list[Result] = field(default_factory=list)
    peak: dict[str, float | None] = field(default_factory=peak)


def progress(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """The items, with a bar on the standard error where tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        print(label, file=sys.stderr)
        return iter(items)
    return iter(tqdm(items, label, total, file=sys.stderr))


def throughput(
    ruler: str, folder: Path, count: int, threads: int, contestants: Sequence[Contestant], effort: Effort
) -> list[Result]:
    """Measure one ruler at one size."""
    entered = compare.assemble(make_work(ruler, folder, count, threads), contestants)
    label = f"{tables.title(ruler)}, N = {count}, threads {threads}"
    rounds = compare.take_turns(entered, effort.rounds, effort.seconds)
    taken = list(progress(rounds, effort.rounds, label))
    return entered.results({name: [found[name] for found in taken] for name in entered.calls})


def latency(folder: Path, count: int, effort: Effort) -> list[Result]:
    """Measure single calls of R1."""
    work = make_work("r1", folder, count, threads=1)
    entered = compare.assemble(work, LATENCY)
    rounds = effort.calls // len(work.cases)
    taken = list(progress(compare.latencies(entered, rounds), rounds, f"R1 latency, N = {count}"))
    return entered.results({name: [x for found in taken for x in found[name]] for name in entered.calls})


def measure(rulers: Sequence[str], folder: Path, effort: Effort) -> Report:
    """Measure everything."""
    made = Report()
    everybody = (*OURS, *PEERS)
    for ruler in rulers:
        made.one_thread += throughput(ruler, folder, 1000, 1, everybody, effort)
        if ruler in effort.curves:
            for count in SIZES:
                # Beyond R1 the peers would take minutes, and DIN's repeated histories gigabytes.
                if count <= (effort.largest if ruler == "r1" else min(effort.largest, 10_000)):
                    made.curves += throughput(ruler, folder, count, 1, CURVE, effort)
        if ruler == "r1":
            for count in LATENCY_SIZES:
                made.latencies += latency(folder, count, effort)
        if effort.two_threads:
            made.two_threads += throughput(ruler, folder, 10_000, 2, everybody, effort)
        forget()
    return made


def processor() -> str:
    """The processor's name as Linux knows it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def conditions(report: Report) -> str:
    """One line: the machine, its arithmetic limit, the versions."""
    packages = []
    for name in ("onnxruntime", "openvino", "torch", "numpy"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"{name} not installed")
    limits = ", ".join(f"{kind} {value:.0f}" for kind, value in report.peak.items() if value)
    return (
        f"{processor()}, backend {select_backend()}; one core's limit measured in the same run, in 10^9"
        f" operations/s: {limits or 'no compiler'}; {', '.join(packages)},"
        f" Python {platform.python_version()}."
    )


def document(report: Report, pictures: Sequence[str]) -> str:
    """The whole report in Markdown."""
    goals = tables.GOALS.get(select_backend(), {})
    parts = ["# Rulers", conditions(report), tables.summary(report.one_thread, goals)]
    parts += [f"![{Path(name).stem}]({name})" for name in pictures]
    for results, heading in (
        (report.one_thread, "N = 1000, one thread"),
        (report.two_threads, "N = 10,000, two threads"),
    ):
        for ruler in RULERS:
            mine = [item for item in results if item.ruler == ruler]
            if mine:
                table = tables.ruler_table(mine, report.peak, goals)
                parts += [f"## {tables.title(ruler)}, {heading}", table]
    if report.two_threads:
        parts += ["## Threads", tables.scaling_table(report.curves, report.two_threads)]
    if report.latencies:
        parts += ["## R1, time of one call", tables.latency_table(report.latencies)]
    return "\n\n".join(parts) + "\n"


def replace_between(text: str, name: str, made: str) -> str:
    """The text with ``made`` between the markers ``<!-- name -->`` and ``<!-- end of name -->``.

    Examples
    --------
    >>> print(replace_between("a <!-- t -->old<!-- end of t --> b", "t", "new"))
    a <!-- t -->
    new
    <!-- end of t --> b
    """
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"expected {start} and {end}")
    return f"{before}{start}\n{made}\n{end}{after}"


def install(report: Report, folder: Path, pictures: Sequence[str]) -> None:
    """Put tables and pictures into docs/performance.md, in the part of this kind of processor."""
    page, machine = ROOT / PAGE, select_backend()
    parts = [tables.summary(report.one_thread, tables.GOALS.get(machine, {}))]
    if report.two_threads:
        parts.append(tables.scaling_table(report.curves, report.two_threads))
    if report.latencies:
        parts.append(tables.latency_table(report.latencies))
    parts += [conditions(report), *(f"![{Path(name).stem}]({name})" for name in pictures)]
    text = replace_between(page.read_text(encoding="utf-8"), f"rulers {machine}", "\n\n".join(parts))
    page.write_text(text, encoding="utf-8")
    for name in pictures:
        (page.parent / name).write_bytes((folder / name).read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short turns, one curve")
    parser.add_argument("--output", type=Path, help="where report.md, result.json and the plots go")
    parser.add_argument("--install", action="store_true", help="update docs/")
    parser.add_argument("--models", type=Path, help="where the rulers' models are kept")
    parser.add_argument("--rulers", nargs="+", choices=tuple(RULERS), default=tuple(RULERS))
    arguments = parser.parse_args()
    output = arguments.output or Path(tempfile.mkdtemp(prefix="pyrec_infer_report_"))
    output.mkdir(parents=True, exist_ok=True)
    models = ensure(arguments.models, tuple(arguments.rulers))
    report = measure(arguments.rulers, models, QUICK if arguments.quick else FULL)
    (output / "result.json").write_text(json.dumps(asdict(report)), encoding="utf-8")
    pictures: list[str] = []
    try:
        from benchmarks.plots import draw

        pictures = draw(report.curves, report.latencies, output, select_backend())
    except ImportError as error:
        print(f"no plots: {error}", file=sys.stderr)
    text = document(report, pictures)
    (output / "report.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"written to {output}", file=sys.stderr)
    if arguments.install:
        install(report, output, pictures)


if __name__ == "__main__":
    main()
