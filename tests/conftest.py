"""Fixtures every test file may use."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from support.shared import shared_folder
from support.zoo import MODELS, ZOO, ZOO_ROWS, Export

from pyrec_infer.backends import select, select_backend
from pyrec_infer.extension import VARIABLE

if TYPE_CHECKING:
    from benchmarks.obd import features

# How long an example takes says nothing of this project on a machine that does other things too.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data sets and exported models; tests that need it are skipped without."""
    folder = shared_folder()
    if not folder.is_dir():
        pytest.skip(f"no folder {folder} (set PYREC_INFER_SHARED)")
    return folder


@pytest.fixture(scope="session")
def logs(shared: Path) -> features.Logs:
    """The real click logs, read once."""
    folder = shared / "data" / "obd"
    if not folder.is_dir():
        pytest.skip(f"no data set in {folder}")
    # Tests of an installed wheel run without the checkout's other folders.
    from benchmarks.obd import features

    return features.read(folder)


@pytest.fixture(scope="session")
def held_out(logs: features.Logs) -> dict[str, NDArray[Any]]:
    """The held-out impressions as arrays, encoded once, with the crossed field that one model takes."""
    from benchmarks.obd import features

    return features.encode(logs, logs.held_out(), cross=True)


# pytest runs all tests of one parameter of the session together, so that each model is loaded once.
@pytest.fixture(scope="session", params=MODELS or ["none"])
def export(request: pytest.FixtureRequest) -> Export:
    """An exported model of the shared zoo; tests that need it are skipped without."""
    if not MODELS:
        pytest.skip(f"no zoo at {ZOO} (set PYREC_INFER_SHARED)")
    return Export(request.param)


@pytest.fixture(scope="session")
def backend() -> str:
    """The backend that models use in this run."""
    return select_backend()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where a backend is forced, leave out what no backend takes part in; elsewhere see that none does."""
    once = [item for item in items if item.get_closest_marker("once")]
    if VARIABLE in os.environ:
        config.hook.pytest_deselected(items=once)
        items[:] = [item for item in items if not item.get_closest_marker("once")]
        return
    for item in once:
        # For all tests alike it would be a large part of the time that small ones take.
        if isinstance(item, pytest.Function):
            item.fixturenames.insert(0, without_a_backend.__name__)


@pytest.fixture
def without_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse the mark `once` for a test that asks for a backend."""

    def refuse() -> tuple[str, ...]:
        pytest.fail("this test asks for a backend, so it has to run with each: take its mark away")

    monkeypatch.setattr(select, "available_backends", refuse)


def pytest_collection_finish() -> None:
    """Keep what is there for the whole run out of the collector's way, which tests of memory call often."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the zoo's table at the end of the run."""
    if not ZOO_ROWS:
        return
    terminalreporter.section(f"zoo, backend {select_backend()}")
    terminalreporter.write_line(f"{'model':<56} {'max difference':>14} {'seconds':>8}  status")
    for name, status, difference, seconds in ZOO_ROWS:
        terminalreporter.write_line(f"{name:<56} {difference:>14.2e} {seconds:>8.3f}  {status}")
