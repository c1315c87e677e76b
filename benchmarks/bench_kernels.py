"""The native matrix product on each ISA; ``extra_info`` has GFLOPS.

B is packed inside the call, as ``run_kernel`` does; with many rows that is a small part. Run it with
``python -m pytest benchmarks/bench_kernels.py --benchmark-only``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyrec_infer.kernels import dense

_native = pytest.importorskip("pyrec_infer._native")

SPEC = dense.KERNELS[0]
SHAPES = [
    (2048, 128, 128),
    (2048, 256, 256),
    (2048, 512, 512),
    (2048, 400, 400),
    (2048, 256, 64),
    (2048, 64, 16),
]


@pytest.mark.parametrize("isa", _native.kernel_backends())
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_gemm_f32(benchmark: Any, isa: str, m: int, k: int, n: int, activation: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((m, k)).astype(np.float32)
    b = rng.standard_normal((k, n)).astype(np.float32)
    bias = rng.standard_normal(n).astype(np.float32)
    out = np.empty((m, n), np.float32)
    arguments = (a, b, bias, activation)
    _native.run_kernel(isa, SPEC.name, *arguments, out=out)
    assert not SPEC.tolerance.violations(out, SPEC.oracle(*arguments), arguments).any()
    benchmark.group = f"gemm_f32 {m}x{k}x{n} {activation}"
    benchmark.pedantic(
        _native.run_kernel, (isa, SPEC.name, *arguments), {"out": out}, rounds=20, warmup_rounds=2
    )
    if benchmark.stats:
        benchmark.extra_info["gflops"] = round(2e-9 * m * k * n / benchmark.stats["min"], 1)
