"""Every kernel on every backend against its float64 oracle."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from pyrec_infer.kernels import FAMILIES, KERNELS, KernelSpec, reduce

try:
    from pyrec_infer import _native
except ImportError:
    _native = None

# Each backend is tested where none is forced.
pytestmark = pytest.mark.once

GUARD = 64


def backends() -> list[str]:
    """All backends of this machine, whichever is forced."""
    found = list(_native.kernel_backends()) if _native else []
    return [*found, "numba"] if find_spec("numba") else found


BACKENDS = backends()
NATIVE = [backend for backend in BACKENDS if backend != "numba"]


def run(backend: str, spec: KernelSpec, arguments: tuple[Any, ...]) -> np.ndarray:
    if backend == "numba":
        return spec.fallback(*arguments)
    return _native.run_kernel(backend, spec.name, *arguments)


def check(
    spec: KernelSpec, actual: np.ndarray, expected: np.ndarray, arguments: tuple[Any, ...], note: str
) -> None:
    assert actual.shape == expected.shape
    if spec.name == "f32_to_half":  # any NaN stands for NaN
        actual, expected = actual.view(np.float16), expected.astype(np.uint16).view(np.float16)
    wrong = spec.tolerance.violations(actual, expected, arguments)
    if wrong.any():
        place = tuple(index[0] for index in np.nonzero(wrong))
        shapes = [getattr(a, "shape", a) for a in arguments]
        pytest.fail(
            f"{note} {shapes} at {place}: {actual[place]!r}, oracle {expected[place]!r}, {wrong.sum()} wrong"
        )


def guarded(like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An output of the shape and type of `like`, and the memory around it, filled with a pattern."""
    memory = np.frombuffer(bytearray(b"\xa5" * (like.nbytes + 2 * GUARD)), np.uint8)
    out = memory[GUARD : GUARD + like.nbytes].view(like.dtype).reshape(like.shape)
    return out, memory


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", KERNELS, ids=lambda spec: spec.name)
def test_against_oracle(spec: KernelSpec, backend: str) -> None:
    for arguments in spec.cases(np.random.default_rng(7)):
        before = [np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments]
        with np.errstate(all="ignore"):
            expected = spec.oracle(*arguments)
        actual = run(backend, spec, arguments)
        check(spec, actual, expected, arguments, "new output")
        for argument, copy in zip(arguments, before, strict=True):
            if isinstance(argument, np.ndarray):
                np.testing.assert_array_equal(argument, copy)


@pytest.mark.parametrize("backend", NATIVE)
@pytest.mark.parametrize("spec", [s for s in KERNELS if s not in reduce.KERNELS], ids=lambda spec: spec.name)
def test_writes_its_output_only(spec: KernelSpec, backend: str) -> None:
    for arguments in spec.cases(np.random.default_rng(7)):
        result = _native.run_kernel(backend, spec.name, *arguments)
        out, memory = guarded(result)
        _native.run_kernel(backend, spec.name, *arguments, out=out)
        np.testing.assert_array_equal(out, result)
        assert (memory[:GUARD] == 0xA5).all()
        assert (memory[GUARD + out.nbytes :] == 0xA5).all()


@pytest.mark.parametrize("backend", NATIVE)
@pytest.mark.parametrize("spec", [spec for spec in KERNELS if spec.in_place], ids=lambda spec: spec.name)
def test_in_place(spec: KernelSpec, backend: str) -> None:
    for arguments in spec.cases(np.random.default_rng(7)):
        result = _native.run_kernel(backend, spec.name, *arguments)
        for place, argument in enumerate(arguments):
            if not isinstance(argument, np.ndarray) or argument.shape != result.shape or result.size < 2:
                continue
            changed = [np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments]
            _native.run_kernel(backend, spec.name, *changed, out=changed[place])
            np.testing.assert_array_equal(changed[place], result)


@pytest.mark.skipif(not _native, reason="no native extension")
def test_every_native_kernel_has_an_oracle() -> None:
    specified = {family: sorted(spec.name for spec in specs) for family, specs in FAMILIES.items()}
    assert specified == _native.kernel_families()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "name", ["abs_f32", "negative_f32", "floor_f32", "ceil_f32", "round_f32", "sqrt_f32"]
)
def test_sign_of_zero(name: str, backend: str) -> None:
    spec = next(spec for spec in KERNELS if spec.name == name)
    x = np.array([0.0, -0.0, 0.3, -0.3, 0.5, -0.5, 1e-45, -1e-45] * 5, np.float32)
    if name == "sqrt_f32":
        x = x[np.isin(x, [0])]
    np.testing.assert_array_equal(np.signbit(run(backend, spec, (x,))), np.signbit(spec.oracle(x)))


@pytest.mark.parametrize("backend", NATIVE)
@pytest.mark.parametrize(("n", "k"), [(1, 70), (4, 33), (5, 33), (40, 300), (100, 600)])
def test_gemm_row_does_not_depend_on_other_rows(backend: str, n: int, k: int) -> None:
    rng = np.random.default_rng(3)
    a = rng.standard_normal((37, k)).astype(np.float32)
    b = rng.standard_normal((k, n)).astype(np.float32)
    whole = _native.run_kernel(backend, "gemm_f32", a, b, None, "tanh")
    for m in (1, 2, 3, 5, 8, 13):
        part = _native.run_kernel(backend, "gemm_f32", a[20 : 20 + m], b, None, "tanh")
        np.testing.assert_array_equal(part, whole[20 : 20 + m])


@pytest.mark.parametrize("backend", NATIVE)
def test_gemm_into_spaced_rows(backend: str) -> None:
    rng = np.random.default_rng(4)
    a = rng.standard_normal((11, 20)).astype(np.float32)
    b = rng.standard_normal((20, 37)).astype(np.float32)
    memory = np.full((11, 50), 7, np.float32)
    _native.run_kernel(backend, "gemm_f32", a, b, None, "relu", out=memory[:, 5:42])
    np.testing.assert_array_equal(
        memory[:, 5:42], _native.run_kernel(backend, "gemm_f32", a, b, None, "relu")
    )
    assert (memory[:, :5] == 7).all()
    assert (memory[:, 42:] == 7).all()


@pytest.mark.parametrize("backend", NATIVE)
def test_gather_into_spaced_rows(backend: str) -> None:
    table = np.arange(60, dtype=np.float32).reshape(5, 12)
    rows = np.array([4, 0, 4, 1])
    memory = np.full((4, 20), -1, np.float32)
    _native.run_kernel(backend, "gather_rows_f32", table, rows, out=memory[:, 3:15])
    np.testing.assert_array_equal(memory[:, 3:15], table[rows])
    assert (memory[:, :3] == -1).all()
    assert (memory[:, 15:] == -1).all()


@pytest.mark.skipif(not _native, reason="no native extension")
def test_wrong_calls_are_errors() -> None:
    x = np.zeros(3, np.float32)
    for arguments in [
        ("no_such_isa", "abs_f32", x),
        ("scalar", "no_such_kernel", x),
        ("scalar", "abs_f32"),
        ("scalar", "abs_f32", x.astype(np.float64)),
        ("scalar", "abs_f32", x[::2]),
        ("scalar", "add_f32", x, x[:2]),
        ("scalar", "max_f32", x[:0]),
        ("scalar", "gather_rows_f32", x.reshape(3, 1), np.array([3])),
        ("scalar", "gather_rows_f32", x.reshape(3, 1), np.array([-1])),
        ("scalar", "gemm_f32", x.reshape(3, 1), x.reshape(3, 1), None, "none"),
        ("scalar", "gemm_f32", x.reshape(3, 1), x.reshape(1, 3), None, "gelu"),
    ]:
        with pytest.raises(ValueError, match=r".+"):
            _native.run_kernel(*arguments)
    with pytest.raises(ValueError, match="out"):
        _native.run_kernel("scalar", "abs_f32", x, out=np.zeros(2, np.float32))
