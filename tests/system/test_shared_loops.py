"""When threads share a loop: while that takes less time than one thread would."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

native = pytest.importorskip("pyrec_infer._native")

pytestmark = pytest.mark.once

WORK = 2e-3
"""Seconds that a loop is, for one thread that nothing keeps."""


def play(credit: object, loops: int, shared: Callable[[], float], kept: float = 1) -> tuple[float, int]:
    """The seconds that loops take, and how many were shared; one alone takes ``kept`` times its work."""
    total, count = 0.0, 0
    for _ in range(loops):
        if credit.enough:  # type: ignore[attr-defined]
            taken = shared()
            credit.share(WORK, taken)  # type: ignore[attr-defined]
            count += 1
        else:
            taken = WORK * kept
            credit.run_alone(WORK, taken)  # type: ignore[attr-defined]
        total += taken
    return total, count


def test_loops_that_pay_are_shared_also_after_one_that_waits() -> None:
    credit = native.Credit()
    assert play(credit, 100, lambda: WORK / 1.8)[1] == 100
    assert play(credit, 1, lambda: 10 * WORK)[1] == 1
    assert play(credit, 100, lambda: WORK / 1.8)[1] == 100


@pytest.mark.parametrize("wait", [1.01, 1.2, 3, 20])
@pytest.mark.parametrize("often", [0.25, 1.0])
def test_loops_that_others_delay_take_hardly_longer_than_alone(wait: float, often: float) -> None:
    generator = np.random.default_rng(3)
    least = WORK * (1 + (wait - 1) / often)  # on average `wait` times as long

    def shared() -> float:
        return least if generator.random() < often else WORK

    credit = native.Credit()
    play(credit, 200, lambda: WORK / 1.9)  # it has paid before
    total, count = play(credit, 20_000, shared)
    assert total <= 20_000 * WORK * (1 + 1 / 64) + 20e-3 + least
    assert count > 0


def test_sharing_is_tried_again_until_it_pays() -> None:
    credit = native.Credit()
    play(credit, 1000, lambda: 5 * WORK)
    total, count = play(credit, 1000, lambda: WORK / 1.9)
    assert count > 800
    assert total < 1000 * WORK / 1.9 * 1.2


def test_what_keeps_a_thread_that_is_alone_too_is_no_cost_of_sharing() -> None:
    credit = native.Credit()
    total, count = play(credit, 5000, lambda: 2 * WORK, kept=3)
    assert count > 2500
    assert total < 5000 * WORK * 2.6
    # Until that is over.
    play(credit, 1000, lambda: 1.5 * WORK)
    total, _ = play(credit, 5000, lambda: 1.5 * WORK)
    assert total <= 5000 * WORK * (1 + 1 / 64) + 20e-3 + 1.5 * WORK
