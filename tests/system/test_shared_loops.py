"""When threads share a loop, and what a caller does about one that does not get on."""

from __future__ import annotations

import os
import sys
import threading
import time
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


def test_a_first_loop_that_waits_is_forgiven() -> None:
    credit = native.Credit()
    assert play(credit, 1, lambda: WORK + 15e-3)[1] == 1
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
    assert total <= 20_000 * WORK * (1 + 1 / 32) + 20e-3 + least
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
    assert total <= 5000 * WORK * (1 + 1 / 32) + 20e-3 + 1.5 * WORK


def test_a_thread_that_is_seldom_stopped_for_long_is_not_taken_for_a_slow_one() -> None:
    """On average it takes 1.5 times its work, which sharing must undercut."""
    credit, number = native.Credit(), 0
    play(credit, 100, lambda: 3 * WORK)
    total = 0.0
    for number in range(5000):
        if credit.enough:
            taken = 2 * WORK
            credit.share(WORK, taken)
        else:
            taken = WORK if number % 20 else 11 * WORK
            credit.run_alone(WORK, taken)
        total += taken
    assert total <= 5000 * WORK * 1.5 * 1.06


def test_what_work_takes_is_told_by_parts_in_which_a_thread_was_not_stopped() -> None:
    pace = native.Pace()
    assert pace.of(7) == 0
    pace.add(2.0, 4)
    assert pace.of(8) == 4
    pace.add(5.0, 4)
    assert pace.of(8) == 7
    pace.add(1.0, 2)
    assert pace.of(8) == pytest.approx(8 * 3 / 6)
    pace.add(100.0, 1)
    assert pace.of(8) == pytest.approx(8 * 8 / 10)
    weightless = native.Pace()
    weightless.add(1.0, 0)
    assert weightless.of(0) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where threads run")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="threads have one CPU")
def test_a_thread_that_does_not_get_on_goes_on_where_its_caller_waits() -> None:
    """One that sleeps stands for one that the system lets wait: neither works."""
    allowed = os.sched_getaffinity(0)
    places: dict[int, set[int]] = {}

    def body(index: int, worker: int) -> None:
        time.sleep(0.02 if worker == 0 else 0.1)
        places[worker] = os.sched_getaffinity(0)
        if worker:
            workers.add(threading.get_native_id())

    for _ in range(5):  # where the machine is busy a caller may do all by itself
        workers: set[int] = set()
        places.clear()
        pool = native.ThreadPool(2)
        pool.run(2, body)
        if workers:
            break
    assert len(places[1]) == 1
    assert places[1] < allowed
    # And it keeps off the caller's CPU again, which is the one where it was.
    assert os.sched_getaffinity(workers.pop()) == allowed - places[1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where threads run")
def test_threads_that_were_told_where_to_run_stay_there() -> None:
    allowed = os.sched_getaffinity(0)
    pool, places = native.ThreadPool(2), []

    def body(index: int, worker: int) -> None:
        if worker and not places:
            os.sched_setaffinity(0, allowed)
        time.sleep(0.005 if worker == 0 else 0.02)
        if worker:
            places.append(os.sched_getaffinity(0))

    for _ in range(3):
        pool.run(4, body)
    assert all(place == allowed for place in places)


def test_what_a_fetched_thread_throws_reaches_the_caller() -> None:
    def body(index: int, worker: int) -> None:
        time.sleep(0.001 if worker == 0 else 0.01)
        raise KeyError(index)

    for _ in range(10):
        with pytest.raises(KeyError):
            native.ThreadPool(3).run(5, body)
