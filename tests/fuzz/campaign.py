"""Many trials from one seed: what they find, made small and kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic

import onnx

from .mutations import mutate
from .seeds import Seeds
from .worker import Trial, Verdict, Worker

CALLS = "fuzz_calls"
"""Key of a kept model's metadata under which the seed of the calls stands."""

ROWS = "fuzz_rows"
"""The same for the seed of a schema and of rows, which have no model to keep."""

EVERY = 10
"""One trial of so many is one of a schema and rows."""

_MUTATIONS = (0, 1, 1, 2, 3, 5, 8)


def make_trial(seeds: Seeds, seed: int) -> Trial:
    """The trial of a number; the same for ever with the same seeds."""
    if seed % EVERY == EVERY - 1:
        return Trial(b"", seed)
    random = Random(seed)
    model = seeds.choose(random)
    for _ in range(random.choice(_MUTATIONS)):
        mutate(random, model)
    return Trial(model.SerializeToString(deterministic=True), random.getrandbits(32))


def signature(verdict: Verdict) -> str:
    """What two findings of the same fault have in common: the kind, and where it was raised."""
    reports = re.findall(r"SUMMARY: (.*)|runtime error: (.*)", verdict.text)
    if reports:
        return f"{verdict.kind} {''.join(reports[-1])}"
    frames = re.findall(r'File "[^"]*?((?:pyrec_infer|numpy)/[^"]*)", line (\d+)', verdict.text)
    own = [frame for frame in frames if frame[0].startswith("pyrec_infer")]
    place = (own or frames)[-1:] if "raw" in verdict.kind else own[:1]
    return " ".join([verdict.kind, *(f"{name}:{line}" for name, line in place)])


@dataclass
class Finding:
    """A fault and the smallest trial that shows it."""

    signature: str
    trial: Trial
    verdict: Verdict
    times: int = 1

    def save(self, folder: Path) -> Path:
        """Keep it as a model that `read_find` reads, with the report beside it."""
        model = onnx.ModelProto.FromString(self.trial.model)
        key = CALLS if self.trial.model else ROWS
        onnx.helper.set_model_props(model, {key: str(self.trial.calls)})
        data = model.SerializeToString(deterministic=True)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{sha256(self.signature.encode()).hexdigest()[:12]}.onnx"
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(f"{self.signature}\n\n{self.verdict.text}\n")
        return path


def read_find(path: Path) -> Trial:
    """A trial that `Finding.save` kept."""
    data = path.read_bytes()
    properties = {entry.key: entry.value for entry in onnx.ModelProto.FromString(data).metadata_props}
    return Trial(b"" if ROWS in properties else data, int(properties.get(ROWS, properties.get(CALLS, "0"))))


@dataclass
class Report:
    """The figures of a campaign."""

    seed: int
    trials: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.trials} trials in {self.seconds:.0f} s"]
        lines += [f"  {name:<28} {times:>8}" for name, times in sorted(self.outcomes.items())]
        lines.append(f"{len(self.findings)} different findings")
        found = sorted(self.findings.values(), key=lambda finding: -finding.times)
        lines += [f"  {finding.times:>5} x {finding.signature}" for finding in found]
        return "\n".join(lines)


def reductions(model: bytes) -> Iterator[bytes]:
    """The model with a node, an initialiser, an output, an attribute or half of a tensor less."""
    proto = onnx.ModelProto.FromString(model)
    for name in ("node", "initializer", "output", "input"):
        for place in reversed(range(len(getattr(proto.graph, name)))):
            smaller = onnx.ModelProto.FromString(model)
            del getattr(smaller.graph, name)[place]
            yield smaller.SerializeToString(deterministic=True)
    for place, node in enumerate(proto.graph.node):
        for other in range(len(node.attribute)):
            smaller = onnx.ModelProto.FromString(model)
            del smaller.graph.node[place].attribute[other]
            yield smaller.SerializeToString(deterministic=True)


def minimise(finding: Finding, try_one: Callable[[Trial], Verdict], seconds: float = 60.0) -> Finding:
    """Leave out parts of the model while the fault stays the same."""
    end = monotonic() + seconds
    trial, verdict = finding.trial, finding.verdict
    shrinks = True
    while shrinks:
        shrinks = False
        for model in reductions(trial.model):
            if monotonic() > end:
                return Finding(finding.signature, trial, verdict)
            smaller = Trial(model, trial.calls)
            found = try_one(smaller)
            if found.kind and signature(found) == finding.signature:
                trial, verdict, shrinks = smaller, found, True
                break
    return Finding(finding.signature, trial, verdict)


def run(
    seconds: float,
    seed: int,
    trials: int | None = None,
    corpus: Path | None = None,
    folder: Path | None = None,
    step: int = 1,
) -> Report:
    """Try models for some time.

    Parameters
    ----------
    seconds : float
    seed : int
        Of the first trial; the others follow.
    trials : int, optional
        No more than so many, so that a faster machine tries nothing else.
    corpus : Path, optional
        A folder with more models to start from.
    folder : Path, optional
        Where findings are kept; without it they are not made smaller.
    step : int
        Between the numbers of trials.
    """
    seeds, worker, report = Seeds(corpus), Worker(), Report(seed)
    begin = monotonic()
    try:
        for number in count(seed, step) if trials is None else range(seed, seed + trials * step, step):
            report.seconds = monotonic() - begin
            if report.seconds > seconds:
                break
            trial = make_trial(seeds, number)
            verdict = worker.try_one(trial)
            report.trials += 1
            report.outcomes.update(verdict.outcomes)
            if not verdict.kind:
                continue
            mark = signature(verdict)
            if mark in report.findings:
                report.findings[mark].times += 1
                continue
            finding = report.findings[mark] = Finding(mark, trial, verdict)
            print(f"[{report.seconds:.0f} s] trial {number}: {mark}", flush=True)
            if folder is not None:
                finding.save(folder)
                small = "timeout" not in mark
                report.findings[mark] = minimise(finding, worker.try_one) if small else finding
                report.findings[mark].save(folder)
    finally:
        worker.close()
    return report
