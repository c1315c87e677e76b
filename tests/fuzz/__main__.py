"""Run the fuzzer: ``python -m tests.fuzz --seconds 3600``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":
    # The models that tests build lie beside this folder. Worker processes inherit the path.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from .campaign import read_find, run
    from .worker import Worker

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to try")
    parser.add_argument("--seed", type=int, default=0, help="of the first trial")
    parser.add_argument("--trials", type=int, help="end after so many")
    parser.add_argument("--step", type=int, default=1, help="between the numbers of trials")
    parser.add_argument("--corpus", type=Path, help="a folder with more models to start from")
    parser.add_argument("--keep", type=Path, help="a folder for what is found, made small")
    parser.add_argument("--replay", type=Path, help="try this kept model once, and nothing else")
    options = parser.parse_args()
    if options.replay is not None:
        worker = Worker()
        verdict = worker.try_one(read_find(options.replay))
        worker.close()
        print(verdict.kind or "nothing wrong", verdict.text, sep="\n")
        sys.exit(bool(verdict.kind))
    report = run(options.seconds, options.seed, options.trials, options.corpus, options.keep, options.step)
    print(report)
    sys.exit(bool(report.findings))
