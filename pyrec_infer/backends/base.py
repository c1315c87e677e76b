"""What every backend offers, and the operators that backends cannot run themselves."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from pyrec_infer.errors import (
    ModelError,
    PyrecError,
    ResourceLimitError,
    UnsupportedModelError,
)
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import ELEMENT_TYPES, Array, Info, Node, fault, reworded
from pyrec_infer.ops.core.bounds import require_room

Callback: TypeAlias = Callable[[Sequence[Any]], Sequence[Any]]
Fallbacks: TypeAlias = Mapping[Node, Callback]


class Executor(Protocol):
    """A plan that a backend has made ready."""

    def run(self, arrays: Sequence[Array], offsets: Sequence[int], to_caller: bool = False) -> list[Array]:
        """The plan's outputs for one array per plan input; ``offsets`` is empty for one request.

        Strings come as objects or, ``to_caller``, perhaps in the fixed width that callers get.
        """
        ...


def load_fallbacks(
    nodes: Sequence[Node],
    infos: Mapping[str, Info],
    make_model: Callable[[Node, Sequence[np.dtype[Any] | None]], bytes],
) -> dict[Node, Callback]:
    """Sessions of onnxruntime for nodes that nothing here can run.

    Raises
    ------
    UnsupportedModelError
        If onnxruntime is not installed or does not know an operator; it lists every such node.
    """
    if not nodes:
        return {}
    listed = ", ".join(f"{node.op} (node {node.name!r})" for node in nodes)
    try:
        import onnxruntime
    except ImportError:
        raise UnsupportedModelError(
            f"unsupported operators: {listed}. Install the extra 'onnxruntime' to run them there"
        ) from None
    sessions: dict[Node, Callback] = {}
    refused: list[str] = []
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    dtypes = {name: info.dtype for name, info in infos.items()}
    for node in nodes:
        try:
            model = make_model(node, [dtypes.get(name) for name in node.inputs])
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            let_interrupts_pass(error)
            refused.append(f"{node.op} (node {node.name!r}): {str(error).splitlines()[0][:200]}")
            continue
        for value in session.get_outputs():
            dtypes[value.name] = _RUNTIME_DTYPES.get(value.type)
        sessions[node] = _session_callback(session, node)
    if refused:
        raise UnsupportedModelError(
            f"unsupported operators, also by onnxruntime: {'; '.join(refused)}. "
            "Operators that ONNX does not have come from the exporter: export the model without them"
        )
    warnings.warn(f"these operators run in onnxruntime: {listed}", RuntimeWarning, stacklevel=4)
    return sessions


def guarded(
    node: Node, evaluate: Callable[[Node, Sequence[Any]], Sequence[Any]], label: str = ""
) -> Callback:
    """Run a node in Python, with errors of this package only; a label says what they are about."""

    def run(inputs: Sequence[Any]) -> Sequence[Any]:
        try:
            require_room(node, inputs)
            return evaluate(node, inputs)
        except PyrecError as error:
            if not label:
                raise
            raise reworded(error, node, label) from None
        except MemoryError:
            raise fault(ResourceLimitError, node, "the system has no more memory") from None
        except Exception as error:
            let_interrupts_pass(error)
            # Its text may hold values of features.
            raise fault(ModelError, node, f"cannot run: {type(error).__name__}") from None

    return run


_RUNTIME_NAMES = {"float32": "float", "float64": "double", "str": "string"}
"""What onnxruntime calls element types, where that is another name."""

_RUNTIME_DTYPES: Mapping[str, np.dtype[Any]] = {
    f"tensor({_RUNTIME_NAMES.get(name, name)})": dtype for name, dtype in ELEMENT_TYPES.items()
}


def _session_callback(session: Any, node: Node) -> Callback:
    names = [value.name for value in session.get_outputs()]

    def run(inputs: Sequence[Any]) -> Sequence[Any]:
        feeds = {name: value for name, value in zip(node.inputs, inputs, strict=True) if name}
        try:
            made = dict(zip(names, session.run(names, feeds), strict=True))
        except Exception as error:
            let_interrupts_pass(error)
            # Its message may hold feature values.
            raise fault(ModelError, node, "failed in onnxruntime") from error
        return [made.get(name) for name in node.outputs]

    return run
