"""The native core; not a public interface."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]
_Callback: TypeAlias = Callable[[Sequence[Any]], Sequence[Any]]
_Step: TypeAlias = tuple[
    str, str, list[int], list[int], list[int], dict[str, Any], list[Any], _Callback | None
]
_Program: TypeAlias = tuple[list[_Step], int, list[int], list[int], list[tuple[int, _Array]]]
_Input: TypeAlias = tuple[str, str, list[int], int, bool]
_Import: TypeAlias = tuple[int, Literal["whole", "slice", "repeat"], int]
_Export: TypeAlias = tuple[int, int]
_Phase: TypeAlias = tuple[Literal["request", "tile", "whole"], _Program, list[_Import], list[_Export]]

class ThreadPool:
    def __init__(self, threads: int) -> None: ...
    @property
    def threads(self) -> int: ...

class Plan:
    def __init__(
        self,
        isa: str,
        inputs: list[_Input],
        symbols: int,
        phases: list[_Phase],
        outputs: Sequence[_Export],
        globals: int,
        pool: ThreadPool,
        tile_rows: int,
        alternative: Plan | None = None,
        few: Plan | None = None,
        few_rows: int = 0,
        derivations: Sequence[tuple[Plan, bool, list[int], list[int]]] = ...,
    ) -> None: ...
    def run(self, arrays: Sequence[_Array], offsets: Sequence[int]) -> list[_Array]: ...
    def run_into(self, arrays: Sequence[_Array], output: int, out: object) -> None: ...
    def prepare(
        self,
        count: int,
        places: Sequence[int],
        rows: tuple[int, int] | None,
        most_rows: int | None,
        width: Sequence[int],
        general: Callable[..., Any] | None,
        catalog: object = ...,
    ) -> Callable[..., Any]: ...

class IdMap:
    def __init__(self, direct: int = ..., capacity: int = ...) -> None: ...
    def size(self) -> int: ...
    def fits(self, keys: NDArray[np.int64]) -> bool: ...
    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def require(self, keys: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def assign(self, keys: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def erase(self, keys: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def copy(self, direct: int, capacity: int) -> IdMap: ...
    def reset_lock(self) -> None: ...

def cpu_features() -> dict[str, bool]: ...
def kernel_backends() -> list[str]: ...
def kernel_names() -> list[str]: ...
def op_names() -> list[str]: ...
def run_kernel(isa: str, name: str, *args: Any, out: _Array | None = None) -> Any: ...
def run_node(
    isa: str,
    op: str,
    attributes: dict[str, Any],
    inputs: list[Any],
    outputs: int,
    constants: Sequence[bool] = ...,
    bodies: list[_Program] = ...,
) -> list[Any]: ...
def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]: ...
