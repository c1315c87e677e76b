"""The command line: ``pyrec-infer demo``, ``explain``, ``check-features``, ``verify`` and ``doctor``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pyrec_infer.errors import PyrecError
from pyrec_infer.interrupts import let_interrupts_pass


def positive(text: str) -> int:
    """An argument that is a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def run_demo(arguments: argparse.Namespace) -> None:
    """Rank and time the bundled model."""
    from pyrec_infer import demo

    demo.main(arguments.users, arguments.candidates)


def run_explain(arguments: argparse.Namespace) -> None:
    """Print the plan of a model."""
    from pyrec_infer.api import load

    print(load(arguments.model).explain(arguments.request, passes=arguments.passes))


def run_check_features(arguments: argparse.Namespace) -> int:
    """Compare what a schema makes of raw rows with what training made of them; 1 if they differ."""
    import numpy as np

    from pyrec_infer.features.text import parse_json
    from pyrec_infer.schema import Schema
    from pyrec_infer.schema.checking import check_features

    lines = arguments.rows.read_bytes().splitlines()
    rows = [parse_json(line) for line in lines if line.strip()]
    with np.load(arguments.expected, allow_pickle=False) as stored:
        expected = {name: stored[name] for name in stored.files}
    report = check_features(Schema.load(arguments.schema), rows, expected)
    print(report)
    return 0 if report.same else 1


def run_verify(arguments: argparse.Namespace) -> None:
    """Compare the checksums in a saved file with what is in it."""
    from pyrec_infer.formats import verify_file

    print(f"a {verify_file(arguments.file)}, as it was written")


def run_doctor(arguments: argparse.Namespace) -> None:
    """Print what matters for a report of a problem."""
    from pyrec_infer.tools.doctor import report

    print(report())


def parser() -> argparse.ArgumentParser:
    """The argument parser, with one subcommand for each function above."""
    top = argparse.ArgumentParser(prog="pyrec-infer", description="Recommendation models on CPUs.")
    commands = top.add_subparsers(dest="command", required=True)

    demo = commands.add_parser("demo", help="rank with the bundled model and measure the speed")
    demo.add_argument("--users", type=positive, default=3, help="how many users to rank for (3)")
    demo.add_argument("--candidates", type=positive, default=100_000, help="items in the shop (100000)")
    demo.set_defaults(run=run_demo)

    explain = commands.add_parser("explain", help="print how a model would be run")
    explain.add_argument("model", type=Path, help="an ONNX file")
    explain.add_argument(
        "--request", nargs="*", default=[], metavar="INPUT", help="inputs that one request gives once"
    )
    explain.add_argument("--passes", action="store_true", help="list what each step of the compiler changed")
    explain.set_defaults(run=run_explain)

    check = commands.add_parser("check-features", help="compare features with those that training saw")
    check.add_argument("schema", type=Path, help="a schema in JSON")
    check.add_argument("rows", type=Path, help="raw rows, an object of JSON in each line")
    check.add_argument("expected", type=Path, help="an .npz file with the model's inputs for these rows")
    check.set_defaults(run=run_check_features)

    verify = commands.add_parser("verify", help="compare the checksums in a saved file with what is in it")
    verify.add_argument("file", type=Path, help="what a method save has written")
    verify.set_defaults(run=run_verify)

    doctor = commands.add_parser("doctor", help="print processor features, backends and versions")
    doctor.set_defaults(run=run_doctor)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status."""
    chosen = parser().parse_args(arguments)
    try:
        status: int | None = chosen.run(chosen)
    except (PyrecError, OSError) as error:
        let_interrupts_pass(error)
        print(f"pyrec-infer: {error}", file=sys.stderr)
        return 1
    return status or 0
