"""Writes the rulers' ONNX models once: ``python -m benchmarks.rulers.make [FOLDER]``.

R1, R3 and R5 are exported by PyTorch's newer exporter, R2 and R4 by the TorchScript one: both are in use.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.rulers.inputs import RULERS, Arrays, items, requests

if TYPE_CHECKING:
    from torch import nn

VERSION = 1
"""Raised when models or their weights change, so that older files are not taken for them."""

DEFAULT_FOLDER = Path(tempfile.gettempdir()) / "pyrec_infer_rulers"
_NEW_EXPORTER = {"r1", "r3", "r5"}


def _export(
    module: nn.Module, inputs: Arrays, fixed: tuple[str, ...], outputs: list[str], path: Path, new: bool
) -> None:
    """Write a module; all inputs but ``fixed`` ones have any number of rows."""
    import torch

    values = tuple(torch.from_numpy(value) for value in inputs.values())
    export = partial(torch.onnx.export, module, values, str(path), input_names=list(inputs))
    rows = {name: {0: "batch"} for name in inputs if name not in fixed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if new:
            shapes = {name: {0: torch.export.Dim("batch")} if name in rows else {} for name in inputs}
            export(output_names=outputs, dynamo=True, dynamic_shapes=shapes, verbose=False)
        else:
            # The user's half has no rows but one.
            made = {name: {0: "batch"} for name in outputs if rows}
            export(output_names=outputs, dynamo=False, dynamic_axes={**rows, **made})


def make(ruler: str, folder: Path) -> None:
    """Export one ruler, and its two halves where it was split by hand."""
    import torch

    from benchmarks.rulers.hand_split import PARTS, SHARED
    from benchmarks.rulers.models import build

    model = build(ruler)
    rng = np.random.default_rng(0)
    request, candidates = requests(ruler, rng, 4), items(ruler, rng, 4)
    new = ruler in _NEW_EXPORTER
    if ruler in PARTS:
        user, rest = (part(model).eval() for part in PARTS[ruler])
        one = {name: value[:1] for name, value in request.items()}
        shared = [value.numpy() for value in user(*(torch.from_numpy(value) for value in one.values()))]
        handed = dict(zip(SHARED[ruler], shared, strict=True))
        _export(user, one, tuple(one), list(handed), folder / f"{ruler}_user.onnx", new)
        inputs = {**candidates, **handed}
        _export(rest, inputs, tuple(handed), ["score"], folder / f"{ruler}_candidates.onnx", new)
    # Last, because its presence says that the ruler is complete.
    _export(model, {**request, **candidates}, (), ["score"], folder / f"{ruler}.onnx", new)


def ensure(folder: Path | None = None, rulers: tuple[str, ...] = tuple(RULERS)) -> Path:
    """The folder with the rulers' models, made where they are missing."""
    folder = (folder or DEFAULT_FOLDER) / f"v{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    for ruler in rulers:
        if not (folder / f"{ruler}.onnx").exists():
            print(f"making {ruler} ({RULERS[ruler]}) in {folder}", file=sys.stderr)
            make(ruler, folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER)
    print(ensure(parser.parse_args().folder))


if __name__ == "__main__":
    main()
