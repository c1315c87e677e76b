"""ISA objects hold the kernels of their lists and share no symbol to merge; kernels keep their prefetches."""

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

ISAS = sorted(path.stem for path in (CPP / "isa").glob("*.cpp"))


def table_of(isa: str) -> str:
    """The table that an ISA's file exports."""
    return f"k{isa.title().replace('_', '')}Kernels"


def flags(isa: str) -> list[str]:
    """The flags that the build gives to the ISA's file."""
    pattern = rf'isa/{isa}\.cpp PROPERTIES\s+COMPILE_OPTIONS "([^"]*)"'
    text = CMAKE.read_text()
    found = re.search(pattern, text)
    given = found.group(1) if found else ""
    named = dict(re.findall(r"set\((avx\w+) ([^)]*)\)", text))
    while used := re.search(r"\$\{(\w+)\}", given):
        given = given.replace(used.group(), named[used.group(1)])
    return re.split("[; ]", given) if given else []


def find_compiler() -> list[str]:
    """The compiler's command; skips where there is none."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        pytest.skip("no C++ compiler")
    if not (CPP / "isa").is_dir():
        pytest.skip("no sources")
    return compiler.split()


@pytest.fixture(scope="module", params=ISAS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The ISA and its unoptimised object."""
    isa = request.param
    compiler = find_compiler()
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
    return isa, output


def told(tool: str, *arguments: str | Path) -> list[str]:
    """The lines that a tool prints."""
    if not shutil.which(tool):
        pytest.skip(f"no {tool}")
    return subprocess.run([tool, *arguments], check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.fixture(scope="module")
def symbols(built: tuple[str, Path]) -> tuple[str, list[list[str]]]:
    """The ISA and the (type, name) of each symbol."""
    isa, output = built
    return isa, [line[17:].split(" ", 1) for line in told("nm", "-C", output)]


def listed(isa: str, folder: Path) -> list[str]:
    """The kernels of the list that an ISA's table is made of."""
    written = (CPP / "isa" / f"{isa}.cpp").read_text()
    made = re.search(r'PYREC_KERNEL_TABLE\("(\w+)", (\w+)\)', written)
    assert made, isa
    assert isa.startswith(made[1])
    source = folder / "list.cpp"
    own = [line for line in written.splitlines() if line.startswith("#define ")]
    lines = ['#include "dispatch/kernels.h"', *own, "#define NAME(name, type) @name@", f"{made[2]}(NAME)", ""]
    source.write_text("\n".join(lines))
    text = told(*find_compiler(), "-std=c++20", f"-I{CPP}", "-E", source)
    return re.findall(r"@(\w+)@", "\n".join(text))


def held(output: Path, table: str) -> list[str]:
    """The functions that a table of an object points to, in its order."""
    symbol = r"(\w+) .{7} (\S+)\t(\w+)\s+(?:\.\w+ )?(.+)"
    found = [re.fullmatch(symbol, line) for line in told("objdump", "-tC", output)]
    symbols = [(int(m[1], 16), m[2], int(m[3], 16), m[4]) for m in found if m]
    functions = {start: name for start, section, _, name in symbols if section == ".text"}
    ((begin, home, size),) = [symbol[:3] for symbol in symbols if symbol[3] == f"pyrec::{table}"]
    names, section = [], ""
    for line in told("objdump", "-r", output):
        section = line.split("[")[1].split("]")[0] if line.startswith("RELOCATION") else section
        pointer = re.fullmatch(r"(\w+) \S+ +\.text(?:\+0x(\w+))?", line)
        if pointer and section == home and begin <= int(pointer[1], 16) < begin + size:
            names.append(functions[int(pointer[2] or "0", 16)])
    return [re.sub(r".*::(\w+)\(.*", r"\1", name) for name in names]


def test_a_table_holds_the_kernels_of_its_list(built: tuple[str, Path], tmp_path: Path) -> None:
    isa, output = built
    kernels = listed(isa, tmp_path)
    assert kernels
    assert sorted(held(output, table_of(isa))) == sorted(kernels)


def test_no_weak_symbols(symbols: tuple[str, list[list[str]]]) -> None:
    assert [name for kind, name in symbols[1] if kind in "WwVvu"] == []


def test_no_static_constructors(symbols: tuple[str, list[list[str]]]) -> None:
    assert [
        name for _, name in symbols[1] if "_GLOBAL__sub_I" in name or "static_initialization" in name
    ] == []


def test_only_the_table_is_external(symbols: tuple[str, list[list[str]]]) -> None:
    isa, entries = symbols
    external = [name for kind, name in entries if kind.isupper() and kind != "U"]
    assert external == [f"pyrec::{table_of(isa)}"]


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
        ("gather", "gather_rows_f32"),
        ("gather", "bag_sum_f32"),
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
