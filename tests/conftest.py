"""Fixtures every test file may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared_folder() -> Path:
    """Where the data sets and the exported models are."""
    return Path(os.environ.get("PYREC_INFER_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data sets and exported models; tests that need it are skipped without."""
    folder = shared_folder()
    if not folder.is_dir():
        pytest.skip(f"no folder {folder} (set PYREC_INFER_SHARED)")
    return folder
