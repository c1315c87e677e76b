"""How many times as fast as onnxruntime published models are: ``python -m benchmarks.published``."""

from __future__ import annotations

import argparse

import torch

from benchmarks.published.measure import measure
from benchmarks.published.models import MODELS

EXPORTERS = {"legacy": (False,), "dynamo": (True,), "both": (False, True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="*", default=list(MODELS), choices=list(MODELS), metavar="NAME")
    parser.add_argument("--exporter", choices=list(EXPORTERS), default="both")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each; 0 compares answers only")
    parser.add_argument("--count", type=int, default=1000, help="candidates")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | exporter | score | catalogue |\n|---|---|---|---|")
    for name in options.names:
        for dynamo in EXPORTERS[options.exporter]:
            made = measure(name, dynamo, options.rounds, options.count)
            if not options.rounds:
                told = f"{made.trouble or 'equal'} |"
            else:
                told = f"{made.score:.2f} | {made.catalogue:.2f}" if not made.trouble else f"{made.trouble} |"
            print(f"| {name} | {'dynamo' if dynamo else 'legacy'} | {told} |", flush=True)


if __name__ == "__main__":
    main()
