"""ISA objects share no symbol that the linker could merge; kernels keep their prefetches."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    "PYREC_INFER_BACKEND" in os.environ, reason="the compiled files are the same whichever backend is forced"
)

CPP = Path(__file__).resolve().parents[2] / "cpp"
CMAKE = CPP / "CMakeLists.txt"

EXPORTS = {
    "scalar": "kScalarKernels",
    "avx2": "kAvx2Kernels",
    "avx512": "kAvx512Kernels",
    "avx512_vnni": "kAvx512VnniKernels",
    "avx512_bf16": "kAvx512Bf16Kernels",
}


def flags(isa: str) -> list[str]:
    """The flags that the build gives to the ISA's file."""
    pattern = rf'isa/{isa}\.cpp PROPERTIES\s+COMPILE_OPTIONS "([^"]*)"'
    found = re.search(pattern, CMAKE.read_text())
    return found.group(1).split(";") if found else []


def find_compiler() -> list[str]:
    """The compiler's command; skips where there is none."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        pytest.skip("no C++ compiler")
    if not (CPP / "isa").is_dir():
        pytest.skip("no sources")
    return compiler.split()


@pytest.fixture(scope="module", params=sorted(EXPORTS))
def symbols(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[list[str]]]:
    """The ISA and the (type, name) of each symbol of its unoptimised object."""
    isa = request.param
    compiler = find_compiler()
    if not shutil.which("nm"):
        pytest.skip("no nm")
    if isa != "scalar" and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("not an x86 machine")
    if isa != "scalar":
        assert flags(isa)
    output = tmp_path_factory.mktemp(isa) / "isa.o"
    command = [
        *compiler,
        "-std=c++20",
        "-O0",
        f"-I{CPP}",
        "-c",
        CPP / "isa" / f"{isa}.cpp",
        "-o",
        output,
    ]
    subprocess.run([*command, *flags(isa)], check=True)
    listing = subprocess.run(["nm", "-C", output], check=True, capture_output=True, text=True).stdout
    return isa, [line[17:].split(" ", 1) for line in listing.splitlines()]


def test_no_weak_symbols(symbols: tuple[str, list[list[str]]]) -> None:
    assert [name for kind, name in symbols[1] if kind in "WwVvu"] == []


def test_no_static_constructors(symbols: tuple[str, list[list[str]]]) -> None:
    assert [
        name for _, name in symbols[1] if "_GLOBAL__sub_I" in name or "static_initialization" in name
    ] == []


def test_only_the_table_is_external(symbols: tuple[str, list[list[str]]]) -> None:
    isa, entries = symbols
    external = [name for kind, name in entries if kind.isupper() and kind != "U"]
    assert external == [f"pyrec::{EXPORTS[isa]}"]


def test_needs_nothing_but_the_mathematics_library(symbols: tuple[str, list[list[str]]]) -> None:
    allowed = {"sqrtf", "memcpy", "memset", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert {name for kind, name in symbols[1] if kind == "U"} <= allowed


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="looks for an x86 instruction")
@pytest.mark.parametrize(
    ("header", "kernel"),
    [
        ("embedding_bag", "embedding_bag_f32"),
        ("lookup", "lookup_f32"),
        ("lookup_sum", "lookup_sum_f32"),
        ("lookup_sum_bf16", "lookup_sum_bf16"),
        ("lookup_sum_u8", "lookup_sum_u8"),
        ("sparse", "gather_rows_f32"),
        ("sparse", "bag_sum_f32"),
    ],
)
def test_compilers_keep_prefetches(header: str, kernel: str, tmp_path: Path) -> None:
    """A compiler may take a function that only prefetches for one without effect, and drop its calls."""
    source = tmp_path / "kernel.cpp"
    source.write_text(
        f'#include "dispatch/kernels.h"\n#include "simd/vec_scalar.h"\n#include "kernels/{header}.inl.h"\n'
        f"extern const void* const kKernel;\n"
        f"const void* const kKernel = reinterpret_cast<const void*>(pyrec::{kernel});\n"
    )
    output = tmp_path / "kernel.s"
    subprocess.run(
        [*find_compiler(), "-std=c++20", "-O3", f"-I{CPP}", "-w", "-S", source, "-o", output], check=True
    )
    assert "prefetch" in output.read_text()
