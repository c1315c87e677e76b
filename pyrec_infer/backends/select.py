"""The list of backends and the choice between them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrec_infer.backends.base import Executor, Fallbacks
from pyrec_infer.errors import BackendError
from pyrec_infer.extension import VARIABLE, native
from pyrec_infer.limits import UNLIMITED
from pyrec_infer.plan import Plan

if TYPE_CHECKING:
    from pyrec_infer.ir import Node


BACKENDS = (*(native.known_isas() if native is not None else ()), "numba")
"""All backends of this build, best first."""


@cache
def _has_numba() -> bool:
    from importlib.util import find_spec

    return find_spec("numba") is not None


def available_backends() -> tuple[str, ...]:
    """The backends that this build and this machine can run, best first."""
    found = list(native.kernel_backends()) if native is not None else []
    if _has_numba():
        found.append("numba")
    return tuple(name for name in BACKENDS if name in found)


def check_installed() -> None:
    """Refuse an installation that can run nothing.

    Raises
    ------
    ImportError
        Says what to install.
    """
    if native is None and not _has_numba():
        raise ImportError(
            "this build of pyrec_infer has no native extension and numba is not installed: "
            "install 'pyrec_infer[numba]', or a build with the extension"
        )
    in_checkout = Path(__file__).parents[2].joinpath("CMakeLists.txt").exists()
    if native is None and in_checkout and os.environ.get(VARIABLE) != "numba":
        warnings.warn(
            "pyrec_infer is imported from its source folder, which has no native extension: the slower numba "
            "backend runs. Install the folder with 'pip install -e .', or start Python elsewhere",
            RuntimeWarning,
            stacklevel=3,
        )


def select_backend() -> str:
    """The backend of this process: the one that the environment variable names, else the best.

    Raises
    ------
    BackendError
        If the variable names a backend that does not exist or cannot run here.
    """
    available = available_backends()
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return available[0]
    if wanted not in BACKENDS:
        raise BackendError(f"{VARIABLE}: expected one of {', '.join(BACKENDS)}, got {wanted!r}")
    if wanted not in available:
        raise BackendError(f"{VARIABLE}: {wanted!r} cannot run here, available are {', '.join(available)}")
    return wanted


def _can(backend: str, trait: str) -> bool:
    return backend != "numba" and native is not None and native.kernel_traits(backend)[trait]


def bf16_note(backend: str) -> str:
    """For `explain`: why bf16 layers are not computed in bf16, or nothing where they are."""
    if _can(backend, "multiplies_bf16"):
        return ""
    return f"bf16 weights, fp32 arithmetic: the backend {backend} has no other on this processor"


_INT8_COSTS = {"avx512_vnni": 0.38, "avx2_vnni": 0.4, "avx512": 0.65, "avx2": 0.65}
"""By what a processor and a backend have in common, the best first: what int8 layers take with all that
belongs to them, where float32 layers, which skip the zeros that ReLU leaves, take 1. Measured on AVX2
as screens of the rulers, on AVX-512 with VNNI as their int8 catalogues; the others are estimated."""


def int8_cost(backend: str) -> float:
    """What an int8 layer takes, where that of float32 takes 1 and skips zeros."""
    if native is None or backend not in BACKENDS:
        return 1.0
    features = native.cpu_features()
    costs = (
        cost for name, cost in _INT8_COSTS.items() if features.get(name) and name.split("_")[0] == backend
    )
    return next(costs, 1.0)


def skips_zero_groups(backend: str, precision: str) -> bool:
    """Whether layers of a lower precision skip successive zeros faster than they multiply them."""
    trait = {"int8": "skips_groups", "bf16": "skips_pairs"}.get(precision)
    return trait is not None and _can(backend, trait)


def make_pool(backend: str, threads: int) -> Any:
    """The threads that a model's plans share; None for a backend that has none."""
    return None if backend == "numba" or native is None else native.ThreadPool(threads)


def make_executor(
    plan: Plan, backend: str, pool: Any, fallbacks: Fallbacks, max_bytes: int = UNLIMITED
) -> Executor:
    """Make a plan ready to run, each call in at most ``max_bytes`` of memory."""
    if backend == "numba":
        from pyrec_infer.backends.numba import NumbaExecutor

        return NumbaExecutor(plan, fallbacks, max_bytes)
    from pyrec_infer.backends.native import NativeExecutor

    return NativeExecutor(plan, backend, pool, fallbacks, max_bytes)


def runner_names(plan: Plan, backend: str) -> Mapping[Node, str]:
    """For each node of the phases, those of derived plans included, what runs it, for `explain`."""
    if backend == "numba":
        from pyrec_infer.backends.numba import runner_of
    else:
        from pyrec_infer.backends.native import runner_of
    plans = (plan, *(part.plan for part in plan.derived))
    return {node: runner_of(node) for each in plans for phase in each.phases for node in phase.nodes}
