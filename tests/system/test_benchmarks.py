"""The benchmarks' pure parts: arithmetic, tables, inputs; none needs a peer or PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks.rulers import compare, contestants, inputs, tables
from benchmarks.rulers.flops import din_attention, flops, layers
from benchmarks.rulers.inputs import RULERS
from pyrec_infer.backends import BACKENDS

GOALS = tables.GOALS["avx512"]
PEAK = {"fp32": 200.0, "bf16": None, "int8": 800.0}


def result(name: str, rate: float, ruler: str = "r1", count: int = 1000, threads: int = 1) -> compare.Result:
    answer = compare.Answer(1e-7, 1.0)
    return compare.Result(ruler, name, count, threads, (count / rate,) * 5, answer, planned=170_000)


RESULTS = [
    result("onnxruntime", 0.4e6),
    result("OpenVINO", 0.37e6),
    result("onnxruntime, split by hand", 0.9e6),
    result("score fp32", 1.2e6),
    result("catalogue bf16", 4e6),
    compare.Result("r1", "PyTorch", 1000, 1, reason="PyTorch is not installed"),
]


@pytest.mark.parametrize(
    ("ruler", "without", "catalogue"),
    [("r1", 166e3, 82e3), ("r2", 775e3, 640e3), ("r3", 474e3, 426e3), ("r4", 1.04e6, 0.82e6)],
)
def test_flops_after_the_split(ruler: str, without: float, catalogue: float) -> None:
    assert flops(ruler, catalogue=False) == pytest.approx(without, rel=0.01)
    assert flops(ruler, catalogue=True) == pytest.approx(catalogue, rel=0.01)


def test_flops_of_attention() -> None:
    assert din_attention() == 30 * 2 * (32 * 80 + 80 * 40 + 40)
    assert flops("r5", catalogue=False) - flops("r5", catalogue=True) == layers(32, 80) + layers(32, 200)


def test_every_goal_and_field_is_about_a_contestant() -> None:
    goals = {key for kind in tables.GOALS.values() for key in kind}
    assert set(tables.GOALS) <= set(BACKENDS)
    assert {name for _, name in goals} <= set(tables.CONTESTANTS)
    assert {name for _, name in tables.LATENCY_GOALS} <= set(tables.CONTESTANTS)
    assert {ruler for ruler, _ in goals} <= set(RULERS)


def test_best_peer_had_the_whole_model() -> None:
    best = tables.best_peer(RESULTS)
    assert best is not None
    assert best.contestant == "onnxruntime"
    assert tables.best_peer([]) is None


def test_peers_of_a_precision_are_compared_among_themselves() -> None:
    results = [*RESULTS, result("OpenVINO bf16", 0.5e6)]
    found = [tables.best_peer(results, precision) for precision in ("fp32", "bf16")]
    assert [item.contestant for item in found if item] == ["onnxruntime", "OpenVINO bf16"]


def test_summary_has_ratio_and_goal() -> None:
    header, _, row = tables.summary(RESULTS, GOALS).splitlines()
    cells = dict(zip(header.split("|"), row.split("|"), strict=True))
    assert cells[" ruler "] == " R1 wide_deep "
    assert cells[" best peer "] == " onnxruntime 0.400 "
    assert cells[" split by hand "] == " 0.900 "
    assert cells[" score fp32 "] == " 1.20 (3.00x; goal 2.80x) "
    assert cells[" catalogue bf16 "] == " 4.00 (10.0x; goal 11.0x) "
    assert cells[" score int8 "].strip() == ""
    assert cells[" best bf16 peer "] == " none "


def test_bf16_is_told_against_both_kinds_of_peers() -> None:
    header, _, row = tables.summary([*RESULTS, result("OpenVINO bf16", 0.5e6)], GOALS).splitlines()
    cells = dict(zip(header.split("|"), row.split("|"), strict=True))
    assert cells[" best bf16 peer "] == " OpenVINO bf16 0.500 "
    assert cells[" catalogue bf16 "] == " 4.00 (10.0x; goal 11.0x; bf16 peer 8.00x) "


def test_ruler_table_has_the_share_of_the_limit_and_the_reasons() -> None:
    lines = tables.ruler_table(RESULTS, PEAK, GOALS).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    # bf16 without instructions is measured against fp32 arithmetic.
    rows = {line.split("|")[1].strip(" *"): line for line in lines}
    done = flops("r1", catalogue=False) * 1.2e-3
    assert f"| {100 * done / 200:.0f} % |" in rows["score fp32"]
    done = flops("r1", catalogue=True) * 4e-3
    assert f"| {100 * done / 200:.0f} % |" in rows["catalogue bf16"]
    assert "170 of 167" in rows["score fp32"]
    assert "PyTorch is not installed" in rows["PyTorch"]


def test_goals_are_for_one_thread() -> None:
    one, two = (
        tables.ruler_table([result("score fp32", 1e6, threads=threads)], {}, GOALS).splitlines()[-1]
        for threads in (1, 2)
    )
    assert "2.80x" in one
    assert "2.80x" not in two


def test_latency_table() -> None:
    seconds = (*(1e-5,) * 99, 1e-3)
    made = tables.latency_table([compare.Result("r1", "prepared score fp32", 1, 1, seconds)])
    assert made.splitlines()[-1].startswith("| 1 | **prepared score fp32** | 10.0 | ")
    assert made.endswith("| 8.00 |")


def test_scaling_table_compares_the_same_number_of_candidates() -> None:
    one = [
        compare.Result("r1", "score fp32", count, 1, (seconds,)) for count, seconds in ((1000, 1), (10, 4))
    ]
    two = [
        compare.Result("r1", "score fp32", 10, 2, (2.0,)),
        compare.Result("r1", "onnxruntime", 10, 2, (1.0,)),
    ]
    header, _, row = tables.scaling_table(one, two).splitlines()
    assert header.endswith("| score fp32 |")
    assert "(2.00x)" in row


def test_answers_are_compared() -> None:
    rng = np.random.default_rng(0)
    scores = [rng.random(300, np.float32)]
    assert compare.check(scores, scores, exact=True) == compare.Answer(0.0, 1.0)
    near = [scores[0] + np.float32(0.01)]
    assert compare.check(near, scores, exact=False).overlap == 1.0
    for wrong in (near, [scores[0][:-1]], [scores[0] * np.float32(np.nan)]):
        with pytest.raises(compare.Disagreement):
            compare.check(wrong, scores, exact=True)


def test_a_wrong_or_missing_contestant_is_told_and_the_others_are_timed() -> None:
    scores = np.linspace(0, 1, 10, dtype=np.float32)

    def missing(work: contestants.Work) -> list[contestants.Call]:
        raise contestants.Unavailable("not installed")

    entries = {
        "right": lambda work: [lambda: scores],
        "wrong": lambda work: [lambda: 1 - scores],
        "missing": missing,
    }
    entered = compare.assemble(
        contestants.Work("r1", Path(), 1, ()),
        [contestants.Contestant(name, make, False, "batch") for name, make in entries.items()],
    )
    assert set(entered.calls) == {"right"}
    assert isinstance(entered.absent["wrong"], compare.Disagreement)
    with pytest.raises(contestants.Unavailable, match="not installed"):
        entered.calls_of("missing")
    rounds = list(compare.take_turns(entered, rounds=2, seconds=1e-4))
    assert [list(found) for found in rounds] == [["right"], ["right"]]


@pytest.mark.parametrize("ruler", RULERS)
def test_cases_are_requests_of_one_row_with_candidates_of_the_catalogue(
    ruler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "STOCK", 200)
    inputs.stock.cache_clear()
    first, second = inputs.make_cases(ruler, count=7, number=2)
    inputs.stock.cache_clear()
    assert {len(value) for value in first.request.values()} == {1}
    assert {len(value) for value in first.candidates.values()} == {7}
    assert {len(value) for value in first.repeated().values()} == {7}
    assert any((first.request[name] != second.request[name]).any() for name in first.request)


def test_ids_are_skewed_and_in_range() -> None:
    ids = inputs.zipf_ids(np.random.default_rng(0), 1000, (5000,))
    assert ids.min() >= 0
    assert ids.max() < 1000
    _, counts = np.unique(ids, return_counts=True)
    assert counts.max() > 500


def test_text_between_markers_is_replaced() -> None:
    text = "a\n<!-- t -->\nold\n<!-- end of t -->\nb"
    made = report.replace_between(text, "t", "new")
    assert made == "a\n<!-- t -->\nnew\n<!-- end of t -->\nb"
    with pytest.raises(ValueError, match="expected"):
        report.replace_between(text, "other", "new")


@pytest.mark.parametrize("machine", tables.GOALS)
def test_the_page_has_a_part_for_each_kind_of_processor_with_goals(machine: str) -> None:
    text = (report.ROOT / report.PAGE).read_text(encoding="utf-8")
    assert report.replace_between(text, f"rulers {machine}", "x") != text


def test_the_report_is_whole_without_pictures() -> None:
    made = report.Report(one_thread=RESULTS, peak=PEAK)
    text = report.document(made, [])
    assert "## R1 wide_deep, N = 1000, one thread" in text
    assert "fp32 200, int8 800" in text


def test_nothing_but_the_package_is_needed_to_import_the_report() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'openvino', 'matplotlib', 'tqdm', 'onnxruntime'): sys.modules[name] = None\n"
        "import benchmarks.report\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=report.ROOT)
