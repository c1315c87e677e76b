"""What rules for nodes are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from pyrec_infer.ir import Array, Node


class Maker:
    """Makes constants under fresh names, for rules that turn attributes into inputs."""

    def __init__(self) -> None:
        self.constants: dict[str, Array] = {}

    def integers(self, node: Node, role: str, values: Sequence[int] | int) -> str:
        return self.constant(node, role, np.asarray(values, np.int64))

    def constant(self, node: Node, role: str, value: Array) -> str:
        name = f"{next(output for output in node.outputs if output)}/pyrec.{role}"
        self.constants[name] = value
        return name


Rule: TypeAlias = Callable[[Node, int, Maker], Sequence[Node]]
"""``rule(node, opset, make)``: nodes of the IR that mean the same; ``opset`` is ONNX's own."""


__all__ = ["Maker", "Rule"]
