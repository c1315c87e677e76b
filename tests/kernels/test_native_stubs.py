"""The extension as Python sees it: its stubs, and what it refuses."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType, WrapperDescriptorType
from typing import Any

import numpy as np
import pytest

import pyrec_infer
from pyrec_infer.errors import DTypeError, ModelError

pytestmark = pytest.mark.once

Parameters = dict[str, tuple[list[str], list[str], str | None]]
"""For each function: positional names, keyword-only names, and the name after ``*``."""


def parameters(function: ast.FunctionDef) -> tuple[list[str], list[str], str | None]:
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args)]
    return names, [argument.arg for argument in given.kwonlyargs], given.vararg.arg if given.vararg else None


def stub_parameters() -> tuple[Parameters, set[str]]:
    """The stubs' functions and methods, and the names of their properties and classes."""
    path = Path(pyrec_infer.__file__).with_name("_native.pyi")
    functions: Parameters = {}
    others: set[str] = set()
    for item in ast.parse(path.read_text()).body:
        if isinstance(item, ast.FunctionDef):
            functions[item.name] = parameters(item)
        if isinstance(item, ast.ClassDef):
            others.add(item.name)
            for member in item.body:
                assert isinstance(member, ast.FunctionDef)
                if member.name.startswith("_") and member.name != "__init__":
                    continue  # Python's own, as of the extension below
                name = f"{item.name}.{member.name}"
                if any(
                    isinstance(mark, ast.Name) and mark.id == "property" for mark in member.decorator_list
                ):
                    others.add(name)
                else:
                    functions[name] = parameters(member)
    return functions, others


def built_parameters(module: ModuleType) -> tuple[Parameters, set[str]]:
    """The same of the extension, whose docstrings begin with the signature."""
    functions: Parameters = {}
    others: set[str] = set()

    def signature(function: Any) -> tuple[list[str], list[str], str | None]:
        (parsed,) = ast.parse(f"def {function.__doc__.splitlines()[0]}: ...").body
        assert isinstance(parsed, ast.FunctionDef)
        return parameters(parsed)

    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if not isinstance(value, type):
            functions[name] = signature(value)
            continue
        others.add(name)
        for member, what in vars(value).items():
            if isinstance(what, property):
                others.add(f"{name}.{member}")
            elif isinstance(what, WrapperDescriptorType):
                # Python's own `__init__` of what only other objects make.
                continue
            elif callable(what) and (member == "__init__" or not member.startswith("_")):
                functions[f"{name}.{member}"] = signature(what)
    return functions, others


def test_stubs_match_the_extension() -> None:
    native = pytest.importorskip("pyrec_infer._native")
    stub_functions, stub_others = stub_parameters()
    functions, others = built_parameters(native)
    assert stub_functions == functions
    assert stub_others == others


def test_nodes_take_scalars_and_refuse_a_wrong_number_of_outputs() -> None:
    native = pytest.importorskip("pyrec_infer._native")
    isa = native.kernel_backends()[0]
    for _ in range(50):
        operands = [np.float32(1.5), np.asarray([1, 2], np.float32)]
        (total,) = native.run_node(isa, "Add", {}, operands, 1, [True])
        assert total.tolist() == [2.5, 3.5]
    for count in (0, 2):
        with pytest.raises(ModelError, match=r"outputs?$"):
            native.run_node(isa, "Neg", {}, [np.float32(1)], count)
    with pytest.raises(DTypeError):
        native.run_node(isa, "Neg", {}, [np.asarray("text")], 1)


def test_programs_are_checked() -> None:
    native = pytest.importorskip("pyrec_infer._native")
    inputs = [("x", "float32", [-1], 0, False)]
    pool = native.ThreadPool(1)

    def plan(step_inputs: list[int], step_outputs: list[int], result: int) -> Any:
        step = ("Neg", "tested", step_inputs, step_outputs, [], {}, [], None)
        program = ([step], 2, [0], [result], [])
        phase = ("tile", program, [(0, "slice", 0)], [(1, 0)])
        isa = native.kernel_backends()[0]
        return native.Executor(isa, inputs, 1, [phase], [(1, 0)], 2, pool, 16, 1 << 30)

    x = np.arange(40, dtype=np.float32)
    (made,) = plan([0], [1], 1).run([x], [])
    np.testing.assert_array_equal(made, -x)
    for wrong in (([1], [1], 1), ([0], [], 0), ([0], [-1], 1), ([2], [1], 1), ([0], [2], 1), ([0], [1], -1)):
        with pytest.raises(ModelError):
            plan(*wrong)
