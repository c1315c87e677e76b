"""The README's table of speeds: ``python -m benchmarks.table`` (``--install`` writes it there)."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
ENGINES = ("pyrec_infer", "onnxruntime")


def processor() -> str:
    """The processor's name as Linux knows it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def measure() -> list[dict[str, Any]]:
    """The records that pytest-benchmark keeps of ``test_bundled.py``."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        suite = str(ROOT / "benchmarks" / "test_bundled.py")
        command = [
            sys.executable,
            "-m",
            "pytest",
            suite,
            "--benchmark-only",
            f"--benchmark-json={result}",
            "-q",
        ]
        subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr)
        records: list[dict[str, Any]] = json.loads(result.read_text())["benchmarks"]
        return records


def table(records: list[dict[str, Any]]) -> str:
    """Markdown: a row for each method and number of candidates."""
    groups: dict[str, dict[str, float]] = defaultdict(dict)
    for record in records:
        groups[record["group"]][record["params"]["engine"]] = record["stats"]["median"]
    lines = [
        "| method, size | pyrec_infer us | onnxruntime us | pyrec_infer M/s | onnxruntime M/s | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for group, medians in sorted(groups.items(), key=lambda item: item[0].split(",")[0]):
        count = int(group.split(" = ")[1])
        ours, theirs = (medians[engine] for engine in ENGINES)
        lines.append(
            f"| {group} | {1e6 * ours:,.0f} | {1e6 * theirs:,.0f} |"
            f" {count / ours / 1e6:.2f} | {count / theirs / 1e6:.2f} | {theirs / ours:.2f} |"
        )
    lines.append("")
    backend = os.environ.get("PYREC_INFER_BACKEND", "the default backend")
    lines.append(
        f"{processor()}, {backend}, onnxruntime {version('onnxruntime')}, NumPy {version('numpy')},"
        f" Python {platform.python_version()}. Ratio: onnxruntime's time over ours."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="replace the table in README.md")
    arguments = parser.parse_args()
    made = table(measure())
    print(made)
    if arguments.install:
        text = README.read_text(encoding="utf-8")
        changed = re.sub(
            r"(<!-- table -->\n).*?(<!-- end of table -->)", rf"\g<1>{made}\n\g<2>", text, flags=re.DOTALL
        )
        README.write_text(changed, encoding="utf-8")


if __name__ == "__main__":
    main()
