"""Train both models and export them to ONNX: ``python -m benchmarks.obd.train``.

Needs PyTorch, onnxscript and the data set; takes about a minute. Writes ``deepfm_obd.onnx``,
``wide_deep_obd.onnx`` and, for each, PyTorch's own scores of the held-out impressions as
``*_reference.npz``. With ``--install`` the files also replace those in this repository.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from benchmarks.obd import raw
from benchmarks.obd.features import (
    ITEM_FIELDS,
    REQUEST_FIELDS,
    Arrays,
    Logs,
    area_under_curve,
    encode,
    read,
    shared_folder,
)
from benchmarks.obd.models import DeepFM, WideDeep

ROOT = Path(__file__).resolve().parents[2]


def tensors(model: nn.Module, arrays: Arrays) -> list[torch.Tensor]:
    return [torch.from_numpy(arrays[name]) for name in model.names]


def train(model: nn.Module, arrays: Arrays, clicks: np.ndarray, *, epochs: int) -> None:
    """Adam on the log loss; clicks are rare, so the last layer starts at their rate."""
    inputs, target = tensors(model, arrays), torch.from_numpy(clicks.astype(np.float32))
    rate = clicks.mean()
    nn.init.constant_(model.mlp[-1].bias, math.log(rate / (1 - rate)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    loss_function = nn.BCEWithLogitsLoss()
    generator = torch.Generator().manual_seed(0)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(target), generator=generator).split(512):
            loss = loss_function(model.logit(*(column[rows] for column in inputs)), target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        print(f"  epoch {epoch + 1}: log loss {total / len(target):.5f}")
    model.eval()


def export(model: nn.Module, arrays: Arrays, path: Path, *, dynamo: bool) -> None:
    """One named input for each field and number, the batch axis dynamic everywhere."""
    example = tuple(column[:2] for column in tensors(model, arrays))
    options = (
        {"dynamic_shapes": (tuple({0: torch.export.Dim("batch")} for _ in example),)}
        if dynamo
        else {"dynamic_axes": {name: {0: "batch"} for name in (*model.names, "click")}}
    )
    torch.onnx.export(
        model,
        example,
        str(path),
        input_names=list(model.names),
        output_names=["click"],
        opset_version=18 if dynamo else 17,
        dynamo=dynamo,
        **({"external_data": False} if dynamo else {}),
        **options,
    )
    strip(path)


def strip(path: Path) -> None:
    """Remove what exporters note about the source code: file names, stack traces."""
    model = onnx.load(path)
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in (model, graph, *graph.node, *values):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    onnx.save(model, path)


def vocabulary(logs: Logs, arrays: Arrays) -> dict[str, object]:
    """What the demo draws its invented users and items from.

    For each field the ids seen in training with their shares, each field apart from the others, so
    that no row of the logs or of the item files can be read off it.
    """

    def shares(name: str) -> dict[str, list[float]]:
        ids, counts = np.unique(arrays[name], return_counts=True)
        return {"ids": ids.tolist(), "shares": (counts / counts.sum()).round(2).tolist()}

    return {
        "request": {name: shares(name) for name in REQUEST_FIELDS},
        "item": {name: shares(name)["ids"] for name in ITEM_FIELDS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="folder for the files, default a new temporary one")
    parser.add_argument("--install", action="store_true", help="also replace the files of this repository")
    arguments = parser.parse_args()
    output = arguments.output or Path(tempfile.mkdtemp(prefix="pyrec_infer_obd_"))
    output.mkdir(parents=True, exist_ok=True)

    logs = read(shared_folder() / "data" / "obd")
    training, held_out = logs.training(), logs.held_out()
    clicks = np.array([row.click for row in training])
    held_out_clicks = np.array([row.click for row in held_out])
    print(
        f"{len(training)} impressions to train on with {clicks.sum()} clicks, "
        f"{len(held_out)} held out with {held_out_clicks.sum()} clicks"
    )

    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    train_arrays, test_arrays = encode(logs, training, cross=True), encode(logs, held_out, cross=True)
    for name, build, dynamo in (("deepfm_obd", DeepFM, False), ("wide_deep_obd", WideDeep, True)):
        torch.manual_seed(0)
        model = build()
        print(name)
        train(model, train_arrays, clicks, epochs=5)
        path = output / f"{name}.onnx"
        export(model, train_arrays, path, dynamo=dynamo)
        with torch.inference_mode():
            scores = model(*tensors(model, test_arrays)).numpy()
        area = area_under_curve(held_out_clicks, scores)
        np.savez_compressed(output / f"{name}_reference.npz", scores=scores, area_under_curve=area)
        print(f"  AUC of the held-out day {area:.6f}, {path.stat().st_size / 1000:.0f} kB")
    (output / "vocabulary.json").write_text(json.dumps(vocabulary(logs, train_arrays), indent=1) + "\n")
    (output / "raw.json").write_text(json.dumps(raw.values(logs), indent=1) + "\n")
    (output / "schema.json").write_text(raw.covered(output / "deepfm_obd.onnx").to_json() + "\n")

    print(f"written to {output}")
    if arguments.install:
        for file in ("deepfm_obd.onnx", "vocabulary.json", "raw.json", "schema.json"):
            shutil.copyfile(output / file, ROOT / "pyrec_infer" / "bundled" / file)
        for file in ("wide_deep_obd.onnx", "deepfm_obd_reference.npz", "wide_deep_obd_reference.npz"):
            shutil.copyfile(output / file, ROOT / "tests" / "data" / file)


if __name__ == "__main__":
    main()
