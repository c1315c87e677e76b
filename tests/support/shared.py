"""The folder of data sets and exported models, which a checkout may be without."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def shared_folder() -> Path:
    """Where the data sets and the exported models are."""
    return Path(os.environ.get("PYREC_INFER_SHARED", ROOT.parent / "shared"))
