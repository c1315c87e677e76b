"""The extension is built with what makes faults hard to use, and shows one symbol."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys

import pytest

native = pytest.importorskip("pyrec_infer._native")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ELF files only")


def output(*command: str) -> str:
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]}")
    return subprocess.run([*command, native.__file__], capture_output=True, check=True, text=True).stdout


def is_sanitized() -> bool:
    return "san_init" in output("nm", "-D")


def test_one_symbol_is_exported() -> None:
    lines = output("nm", "-D", "--defined-only").splitlines()
    assert [line.split()[-1] for line in lines] == ["PyInit__native"]


def test_addresses_are_bound_and_read_only_before_the_first_call() -> None:
    assert "GNU_RELRO" in output("readelf", "-lW")
    dynamic = output("readelf", "-dW")
    assert "BIND_NOW" in dynamic or "NOW" in dynamic.split("FLAGS_1", 1)[-1]


def test_no_memory_is_writable_and_executable() -> None:
    rows = [line.split() for line in output("readelf", "-lW").splitlines()]
    stacks = [row for row in rows if row and row[0] == "GNU_STACK"]
    assert stacks
    assert all("E" not in "".join(row[6:-1]) for row in stacks)
    loads = [row for row in rows if row and row[0] == "LOAD"]
    assert loads
    assert not any({"W", "E"} <= set("".join(row[6:-1])) for row in loads)


def test_stacks_are_checked() -> None:
    assert "__stack_chk_fail" in output("nm", "-D", "--undefined-only")


def test_copies_are_checked() -> None:
    if is_sanitized():
        pytest.skip("the sanitizer checks them")
    assert native.checked_copies() >= 2


def test_jumps_and_returns_go_where_they_may() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("x86 only")
    assert "SHSTK" in output("readelf", "-nW")
    code = output("objdump", "-d", "--no-show-raw-insn", "--section=.text")
    entries = re.findall(r"<PyInit__native(?:@@Base)?>:\n\s*[0-9a-f]+:\s*(\w+)", code)
    assert entries == ["endbr64"]
