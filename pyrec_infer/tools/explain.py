"""A plan in words: what runs when, on what, with which kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyrec_infer.ir import BATCH, Info, Node, Rate, Rows
from pyrec_infer.plan import DerivedPlan, Phase, Plan
from pyrec_infer.plan.cost import node_flops
from pyrec_infer.tools.flops import plan_work

_PHASES = {
    "request": "once for the request",
    "tile": "for every candidate, in tiles of {rows} rows that stay in cache",
    "whole": "on all candidates at once, because they are not known to stay apart",
}

_AT_ONCE = "for every candidate, all rows at once or in parts that threads share"

_SELECTION = {
    "tiles": "each tile's scores are compared while they are in cache, and only the best are kept.",
    "scores": "all scores are made, then compared.",
}

_LONG_NAME = 40
"""Longer names of weights, which exporters make up, say less than the shape alone."""

_RUNNERS = {"native": "", "numpy": "  [NumPy reference]", "onnxruntime": "  [onnxruntime]"}


@dataclass(frozen=True)
class Explanation:
    """What a plan does; ``str()`` gives text."""

    text: str
    data: Mapping[str, Any]

    def __str__(self) -> str:
        return self.text

    def as_dict(self) -> dict[str, Any]:
        """Plain data: ``backend``, ``inputs``, ``outputs``, ``work`` for each rate, ``phases`` with their
        steps, ``selection``: whether the best candidates are chosen from each of the ``tiles`` or from all
        ``scores``, ``derived`` with steps that run once for a call on all rows of one side, ``values``,
        ``few_rows``: requests with fewer candidates run another plan; ``passes`` where asked for."""
        return dict(self.data)


def _shape(info: Info | None) -> list[int | str] | None:
    if info is None or info.shape is None:
        return None
    return [size if isinstance(size, int) else repr(size) for size in info.shape]


def _shape_text(name: str, plan: Plan) -> str:
    info = plan.infos.get(name)
    shape = _shape(info)
    if info is None or shape is None:
        return "?"
    if plan.rates.get(name) == Rate.REQUEST and info.rows >= 0:
        shape[info.rows] = 1 if shape[info.rows] == BATCH else shape[info.rows]
    dtype = "" if info.dtype is None else "string" if info.dtype.kind in "UO" else info.dtype.name
    return f"{dtype}[{', '.join(map(str, shape))}]"


def _step(node: Node, plan: Plan, runner: str, side: str = "") -> dict[str, Any]:
    rate = side or str(plan.rate_of(node).value)
    return {
        "name": node.name,
        "operator": node.op,
        "kernel": node.op if runner == "native" else f"{runner}:{node.op}",
        "runner": runner,
        "rate": "size" if node.op == "pyrec.DimValues" else rate,
        "inputs": [name for name in node.inputs if name],
        "outputs": [name for name in node.outputs if name],
        "shapes": [_shape(plan.infos.get(name)) for name in node.outputs if name],
        "flops": node_flops(node, plan.infos, plan.most_positions()),
    }


def _operand(name: str, plan: Plan) -> str:
    if name not in plan.constants:
        return name
    value = plan.constants[name]
    if value.size == 1 and value.dtype.kind in "iufb":
        return f"{value.reshape(-1)[0]:g}" if value.dtype.kind != "b" else str(bool(value.reshape(-1)[0]))
    shape = f"[{', '.join(map(str, value.shape))}]"
    return f"{name}{shape}" if len(name) <= _LONG_NAME else f"weights{shape}"


def _step_line(node: Node, plan: Plan, runner: str, side: str = "") -> str:
    outputs = [name for name in node.outputs if name]
    made = ", ".join(f"{name}: {_shape_text(name, plan)}" for name in outputs)
    rate: str = _step(node, plan, runner, side)["rate"]
    operands = ", ".join(_operand(name, plan) for name in node.inputs if name)
    work = f"{node_flops(node, plan.infos, plan.most_positions()):>10,}"
    return f"    {rate:<8} {work} {node.op:<16} {operands} -> {made}{_RUNNERS[runner]}"


def _weights(plan: Plan) -> int:
    return sum(value.nbytes for value in plan.constants.values())


def _count(nodes: Sequence[Node]) -> str:
    return "1 step" if len(nodes) == 1 else f"{len(nodes)} steps"


def _phase_lines(number: int, phase: Phase, plan: Plan, runners: Mapping[Node, str]) -> list[str]:
    title = _AT_ONCE if phase.at_once else _PHASES[phase.kind].format(rows=plan.tile_rows)
    lines = [f"{number}. {title}: {_count(phase.nodes)}"]
    repeated = [item.value for item in phase.imports if item.mode == "repeat"]
    if repeated:
        lines.append(f"    all rows share {len(repeated)} values of the request: {', '.join(repeated)}")
    return lines + [_step_line(node, plan, runners[node]) for node in phase.nodes]


def _derived_nodes(part: DerivedPlan) -> list[Node]:
    return [node for phase in part.plan.phases for node in phase.nodes]


def _side(part: DerivedPlan) -> str:
    """The rate of what is made from all rows of one side."""
    rate = Rate.REQUEST if part.request else Rate.ITEM
    return str(rate.value)


def _derived(part: DerivedPlan, runners: Mapping[Node, str]) -> dict[str, Any]:
    return {
        "side": "request" if part.request else "candidates",
        "inputs": list(part.plan.given),
        "outputs": list(part.plan.results),
        "steps": [_step(node, part.plan, runners[node], _side(part)) for node in _derived_nodes(part)],
    }


def _derived_lines(number: int, part: DerivedPlan, runners: Mapping[Node, str]) -> list[str]:
    nodes = _derived_nodes(part)
    whose = "requests" if part.request else "candidates"
    return [
        f"{number}. once for a call, from all its {whose}: {_count(nodes)}",
        *(_step_line(node, part.plan, runners[node], _side(part)) for node in nodes),
    ]


def explain_plan(
    plan: Plan, backend: str, runners: Mapping[Node, str], precision: Sequence[str] = ()
) -> Explanation:
    """Describe a plan.

    Parameters
    ----------
    plan : Plan
    backend : str
    runners : mapping of Node to str
        What runs each node of the phases: ``native``, ``numpy`` or ``onnxruntime``.
    precision : sequence of str
        What is to be said of a precision other than float32.
    """
    given = {item.name for item in plan.given_inputs()}
    inputs = [name for name in plan.rates if name in plan.infos and _is_input(name, plan, given)]
    sides = {name: "request" if plan.rates[name] == Rate.REQUEST else "candidates" for name in inputs}
    data = {
        "backend": backend,
        "tile_rows": plan.tile_rows,
        "few_rows": plan.few_rows,
        "precision": list(precision),
        "weight_bytes": _weights(plan),
        "work": plan_work(plan),
        "inputs": [{"name": name, "side": sides[name], "shape": _shape(plan.infos[name])} for name in inputs],
        "outputs": [{"name": name, "shape": _shape(plan.infos.get(name))} for name in plan.results],
        "coupled": [{"name": node.name, "operator": node.op} for node in plan.coupled],
        "prologue": [_step(node, plan, "numpy") for node in plan.prologue],
        "derived": [_derived(part, runners) for part in plan.derived],
        "phases": [
            {
                "kind": phase.kind,
                "shared": [item.value for item in phase.imports if item.mode == "repeat"],
                "steps": [_step(node, plan, runners[node]) for node in phase.nodes],
            }
            for phase in plan.phases
        ],
        "epilogue": [_step(node, plan, "numpy") for node in plan.epilogue],
        "selection": _selection(plan, backend),
        "values": {
            name: {
                "rate": rate.value,
                "shape": _shape(plan.infos.get(name)),
                "rows": _rows(plan.infos.get(name)),
            }
            for name, rate in plan.rates.items()
        },
    }
    return Explanation(_text(plan, backend, runners, sides, precision), data)


def _is_input(name: str, plan: Plan, given: set[str]) -> bool:
    made = {output for node in plan.prologue for output in node.outputs}
    read_early = {source for node in plan.prologue for source in node.inputs}
    return (name in given or name in read_early) and name not in made and name not in plan.constants


def _rows(info: Info | None) -> int | str:
    if info is None or info.rows == Rows.OPAQUE:
        return "opaque"
    return "none" if info.rows == Rows.INVARIANT else int(info.rows)


def _selection(plan: Plan, backend: str) -> str:
    """What the best candidates are chosen from."""
    return "tiles" if plan.selects_in_tiles and backend != "numba" else "scores"


def _only_for_many(plan: Plan, few: Plan) -> list[str]:
    """The operators that a plan for few candidates does not have."""
    found, others = (
        dict.fromkeys(node.op for phase in item.phases for node in phase.nodes) for item in (plan, few)
    )
    return [name for name in found if name not in others]


def _all_steps(plan: Plan, runners: Mapping[Node, str]) -> list[str]:
    lines: list[str] = []
    number = 1
    if plan.prologue:
        lines.append(
            f"{number}. before the scoring, in Python, because strings are read: {_count(plan.prologue)}"
        )
        lines += [_step_line(node, plan, "numpy") for node in plan.prologue]
        number += 1
    for part in plan.derived:
        lines += _derived_lines(number, part, runners)
        number += 1
    for phase in plan.phases:
        lines += _phase_lines(number, phase, plan, runners)
        number += 1
    if plan.epilogue:
        lines.append(
            f"{number}. after the scoring, in Python, because strings are made: {_count(plan.epilogue)}"
        )
        lines += [_step_line(node, plan, "numpy") for node in plan.epilogue]
    return lines


def _text(
    plan: Plan,
    backend: str,
    runners: Mapping[Node, str],
    sides: Mapping[str, str],
    precision: Sequence[str],
) -> str:
    lines = [
        "How this model is scored",
        f"  backend {backend}, {_weights(plan) / 1e6:.2f} MB of weights; N is the number of candidates.",
        "  Each step's rate says when its result can be known: 'model' at load, 'request' once for a",
        "  request, 'item' from the candidate alone, 'pair' only for a request and a candidate together.",
        "",
        "Inputs",
    ]
    for name, side in sides.items():
        lines.append(f"    {side:<10} {name}: {_shape_text(name, plan)}")
    if plan.alternative is not None:
        lines += [
            "",
            "Positions that the request's mask hides are left out. The work below is that of all positions.",
            "A request with scores as low as those of hidden positions is scored with all of them.",
        ]
    if precision:
        lines += ["", "Precision"]
        lines += [f"    {line}" for line in precision]
    if plan.coupled:
        lines += ["", "Not known to keep the rows of a batch apart:"]
        lines += [f"    {node.op} (node {node.name!r})" for node in plan.coupled]
    lines += ["", "Work: floating-point operations, bytes of weights and tables that they read"]
    for rate, work in plan_work(plan).items():
        each = "for each request" if rate == "request" else "for each candidate"
        lines.append(f"    {rate:<8} {work['flops']:>12,} {work['weight_bytes']:>12,}  {each}")
    if plan.few is not None:
        lines += [
            "",
            f"Requests with fewer than {plan.few_rows} candidates run another plan, without "
            + ", ".join(_only_for_many(plan, plan.few)),
        ]
    lines += ["", "Steps: rate, operations, operator, what it reads -> what it makes"]
    lines += _all_steps(plan, runners)
    lines += ["", "Outputs"]
    lines += [f"    {name}: {_shape_text(name, plan)}" for name in plan.results]
    if len(plan.results) == 1:
        lines += ["", f"The best of many candidates: {_SELECTION[_selection(plan, backend)]}"]
    return "\n".join(lines)
