"""The README's example prints what the README says, and its commands are the ones CI runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_example_prints_what_the_readme_says(tmp_path: Path) -> None:
    (code, further), (expected,) = blocks("python"), blocks("text")
    command = [sys.executable, "-c", code + further]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(expected)


def test_example_is_short() -> None:
    code, _ = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


def test_there_are_two_commands_and_ci_reads_them_from_the_readme() -> None:
    (commands,) = blocks("sh")
    assert len(commands.splitlines()) == 2
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_folders_of_the_map_exist() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", README, re.MULTILINE)
    paths = [path for row in rows for path in re.findall(r"`(.*?)`", row)]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
