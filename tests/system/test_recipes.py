"""What the recipes of docs/architecture.md name is what one example of each kind is in, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "architecture.md"

if not DOCUMENT.is_file():
    pytest.skip("not a source tree", allow_module_level=True)

EXAMPLES = {
    "A kernel": (
        "multiply_add_f32",
        ("cpp/kernels/", "cpp/dispatch/kernels.h", "cpp/bindings/kernels/", "pyrec_infer/kernels/"),
        ("cpp/plan/ops/",),
    ),
    "An elementwise operator": ("Mish", ("pyrec_infer/ops/", "cpp/plan/ops/"), ()),
    "A pattern": ("dice", ("pyrec_infer/passes/recognise/",), ()),
    "A pass": ("merge_sums", ("pyrec_infer/passes/", "passes/pipeline.py"), ()),
    "A format of model files": (
        "(?:import ONNX|ONNX = Format)",
        ("pyrec_infer/formats/", "pyrec_infer/formats/registry.py"),
        (),
    ),
    "A codec of rows": (
        "(?i:f16)",
        (
            "pyrec_infer/codecs/",
            "pyrec_infer/codecs/__init__.py",
            "cpp/codecs/",
            "cpp/codecs/codec.h",
            "cpp/codecs/codecs.inl.h",
        ),
        # What safetensors files call an element type.
        ("pyrec_infer/formats/tensors/layout.py",),
    ),
    "An instruction set": (
        "kAvx2Kernels",
        ("cpp/isa/", "cpp/dispatch/kernels.cpp"),
        (),
    ),
}
"""For each recipe a name, the places that it is in, and those of its users, which a recipe need not name."""


def recipe(title: str) -> str:
    text = DOCUMENT.read_text().split("# How to add one thing", 1)[1]
    found = re.search(rf"- \*\*{title}\*\*:(.*?)(?=\n- \*\*|\Z)", text, re.DOTALL)
    assert found, f"no recipe for {title}"
    return found[1]


def holders(word: str) -> set[str]:
    """The files of the product that a word occurs in."""
    sources = [*(ROOT / "pyrec_infer").rglob("*.py"), *(ROOT / "cpp").rglob("*.*")]
    whole = re.compile(rf"\b{word}\b")
    return {str(path.relative_to(ROOT)) for path in sources if whole.search(path.read_text())}


@pytest.mark.parametrize("title", EXAMPLES)
def test_a_recipe_names_all_places(title: str) -> None:
    word, places, users = EXAMPLES[title]
    text = recipe(title)
    for place in places:
        assert f"`{place}" in text, f"the recipe does not name {place}"
    found = holders(word)
    strays = {name for name in found if not any(place in name for place in (*places, *users))}
    assert not strays
    for place in places:
        assert any(place in name for name in found), f"{word} is not in {place}"


def test_what_recipes_name_exists() -> None:
    text = DOCUMENT.read_text()
    for name in re.findall(r"`((?:cpp|pyrec_infer|tests|passes)/[\w/.]*)`", text):
        folder = ROOT / "pyrec_infer" if name.startswith("passes/") else ROOT
        assert (folder / name).exists(), name
