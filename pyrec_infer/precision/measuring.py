"""What a model's precision does to its scores, measured when it is loaded."""

from __future__ import annotations

from pyrec_infer.arguments import Inputs
from pyrec_infer.backends.select import bf16_note
from pyrec_infer.codecs import PrecisionName
from pyrec_infer.errors import InputError, PyrecError
from pyrec_infer.outputs import default_output
from pyrec_infer.passes.finish.choose_precision import NARROW_LAYERS
from pyrec_infer.precision.report import NotMeasurableError, PrecisionReport, compare_scores, sample_inputs
from pyrec_infer.ranking import Ranking, call


def measure(ranking: Ranking, precision: PrecisionName, calibration: Inputs | None) -> PrecisionReport:
    """Score sampled or given rows in this precision and in float32."""
    view = ranking.views.whole
    given = None if calibration is None else view.signature.expand(calibration)
    if precision == "fp32":
        return PrecisionReport(precision)
    try:
        outputs = (default_output(view.graph),)
    except InputError as error:
        return PrecisionReport(precision, note=str(error))
    narrow = ranking.whole(frozenset(), outputs, strict_ids=False)
    layers = sum(node.op in NARROW_LAYERS for phase in narrow.plan.phases for node in phase.nodes)
    reason = "no layer can have this precision, only what catalogues store" if not layers else ""
    if not reason and given is None and narrow.plan.coupled:
        reason = "made-up rows may not stay apart in a batch; give `calibration`"
    if not reason and given is None:
        try:
            given = sample_inputs(view.graph, view.infos, narrow.plan.given)
            made, _ = call(view, narrow, {}, given, ())
        except PyrecError as error:
            named = isinstance(error, NotMeasurableError)
            reason = str(error) if named else "made-up rows do not fit the model; give `calibration`"
    elif not reason and given is not None:
        made, _ = call(view, narrow, {}, given, ())
    if reason or given is None:
        return PrecisionReport(precision, layers, note=reason)
    plain = ranking.whole(frozenset(), outputs, strict_ids=False, precision="fp32")
    exact, _ = call(view, plain, {}, given, ())
    return compare_scores(precision, layers, *(next(iter(scores.values())) for scores in (exact, made)))


def precision_notes(report: PrecisionReport, backend: str) -> list[str]:
    """What `explain` says of a precision other than float32."""
    if report.precision == "fp32":
        return []
    note = bf16_note(backend) if report.precision == "bf16" else ""
    return [str(report), note] if note else [str(report)]


__all__ = ["measure", "precision_notes"]
