"""Rules of the repository: who imports whom, where intrinsics live, what files may say."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import subprocess
import tomllib
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pyrec_infer as pi
from pyrec_infer.ops import OPS
from pyrec_infer.passes import FINISH, LOAD, SELECT, SPLIT

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pyrec_infer"

if not (ROOT / "pyproject.toml").is_file():
    pytest.skip("not a source tree", allow_module_level=True)

LAYERS = {
    "errors": 0,
    "interrupts": 0,
    "expressions": 1,
    "ir": 1,
    "limits": 1,
    "memory": 1,
    "kernels": 3,
    "_native": 0,
    "extension": 1,
    "hashing": 1,
    "strings": 2,
    "bundled": 1,
    "codecs": 1,
    "ops": 3,
    "formats": 4,
    "passes": 4,
    "plan": 5,
    "tensor_info": 4,
    "backends": 6,
    "top_k": 5,
    "arguments": 6,
    "features": 5,
    "tables": 6,
    "store": 7,
    "precision": 12,
    "outputs": 6,
    "execution": 8,
    "schema": 9,
    "fingerprints": 7,
    "tools": 7,
    "selection": 8,
    "catalog": 10,
    "retrieval": 9,
    "candidates": 10,
    "ranking": 11,
    "loaded": 12,
    "model": 13,
    "pipeline": 14,
    "api": 14,
    "__init__": 15,
    "demo": 16,
    "cli": 17,
    "__main__": 18,
}
"""A part of the package may import parts of lower layers, and itself."""

ONLY = {
    "formats": {"errors", "interrupts", "ir", "limits", "memory", "ops"},
    "codecs": {"errors"},
    "hashing": {"errors"},
    "strings": {"errors", "extension", "hashing"},
    "kernels": {"codecs"},
    "bundled": set(),
    "ops": {"codecs", "errors", "hashing", "interrupts", "ir", "limits", "strings"},
    "passes": {"codecs", "errors", "expressions", "interrupts", "ir", "memory", "ops"},
}
"""Parts that may import less than their layer would let them."""

MAX_LINES = 900

MAX_MODULE_LINES, MAX_FUNCTION_LINES = 450, 60
"""Of the package; a docstring, and what stands before it, are no lines of a function."""


@cache
def tracked() -> tuple[Path, ...]:
    """The files of the repository that git knows or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git repository")
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts)


@cache
def modules() -> dict[str, ast.Module]:
    """The package's modules by dotted name; a package's own module ends in ``__init__``."""
    return {module_name(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def resolve(name: str) -> str | None:
    """The module of this package that an imported name stands for."""
    if name != "pyrec_infer" and not name.startswith("pyrec_infer."):
        return None
    if name in modules() or name == "pyrec_infer._native":
        return name
    return f"{name}.__init__" if f"{name}.__init__" in modules() else None


@cache
def imports(module: str) -> frozenset[str]:
    """What a module imports, also inside functions: dotted names, others' packages included."""
    found: set[str] = set()
    for item in ast.walk(modules()[module]):
        if isinstance(item, ast.Import):
            found.update(resolve(alias.name) or alias.name for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, f"{module}: relative import"
            assert item.module is not None
            for alias in item.names:
                found.add(resolve(f"{item.module}.{alias.name}") or resolve(item.module) or item.module)
    return frozenset(found)


def part(module: str) -> str:
    """The part of the package that a module belongs to: a file or a folder."""
    return module.split(".")[1]


def test_every_part_has_a_layer() -> None:
    assert {part(name) for name in modules()} <= set(LAYERS)


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_one_way(module: str) -> None:
    own = part(module)
    allowed = ONLY.get(own, {name for name, layer in LAYERS.items() if layer < LAYERS[own]}) | {own}
    used = {part(name) for name in imports(module) if name.startswith("pyrec_infer.")}
    assert used <= allowed


def test_no_import_cycles() -> None:
    graph = {name: {other for other in imports(name) if other in modules()} for name in modules()}
    list(TopologicalSorter(graph).static_order())


ONNX = "pyrec_infer.formats.onnx."


def test_only_the_format_onnx_uses_its_package_and_protobuf() -> None:
    packages = ("onnx", "google")
    users = {name for name in modules() for used in imports(name) if used.split(".")[0] in packages}
    assert users
    assert all(name.startswith(ONNX) for name in users)


def is_pythons(kind: ast.expr) -> bool:
    """Whether one of the exceptions is a type of Python's own that a signal's handler may raise too."""
    names = {name.id for name in ast.walk(kind) if isinstance(name, ast.Name)}
    found = [getattr(builtins, name, None) for name in names]
    # These are raised by imports, decoding and allocation, and say what they are.
    told = (ImportError, UnicodeError, SyntaxError, MemoryError, RecursionError)
    return any(isinstance(one, type) and not issubclass(one, told) for one in found)


def lets_pass(handler: ast.ExceptHandler) -> bool:
    first = handler.body[0]
    call = first.value if isinstance(first, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) == "let_interrupts_pass"


@pytest.mark.parametrize("module", sorted(modules()))
def test_what_handlers_of_signals_raise_is_not_caught(module: str) -> None:
    handlers = [node for node in ast.walk(modules()[module]) if isinstance(node, ast.ExceptHandler)]
    caught = [
        handler.lineno
        for handler in handlers
        if handler.type is not None and is_pythons(handler.type) and not lets_pass(handler)
    ]
    assert not caught, "expected let_interrupts_pass first in what catches exceptions of Python"
    assert "suppress(" not in ast.unparse(modules()[module])


def test_one_module_looks_for_the_extension() -> None:
    users = {name for name in modules() if "pyrec_infer._native" in imports(name)}
    assert users == {"pyrec_infer.extension"}


MAX_NAMES = 3
"""Operators that a collection outside `ops` may name; what holds for more of them is a trait of theirs."""


@pytest.mark.parametrize("module", sorted(modules()))
def test_what_operators_are_is_said_on_the_operators(module: str) -> None:
    if part(module) == "ops":
        return
    for node in ast.walk(modules()[module]):
        if isinstance(node, (ast.Set, ast.Tuple, ast.List)):
            named = [item.value for item in node.elts if isinstance(item, ast.Constant) and item.value in OPS]
            assert len(named) <= MAX_NAMES, f"{module} line {node.lineno}: {', '.join(map(str, named))}"


def includes(name: str) -> set[str]:
    """The folders of ``cpp`` with a file that includes a header of that name."""
    pattern = re.compile(rf'^\s*#\s*include\s*[<"]{name}', re.MULTILINE)
    sources = [path for path in (ROOT / "cpp").rglob("*") if path.suffix in (".h", ".cpp")]
    return {path.relative_to(ROOT / "cpp").parts[0] for path in sources if pattern.search(path.read_text())}


def included_by(folder: str) -> set[str]:
    """The folders of ``cpp`` whose headers the files of one include."""
    texts = [path.read_text() for path in (ROOT / "cpp" / folder).iterdir()]
    return {used for text in texts for used in re.findall(r'#include "(\w+)/', text)}


def test_only_the_bindings_include_pybind11() -> None:
    assert includes("pybind11/") == {"bindings"}
    assert includes("Python.h") == set()


def test_only_simd_includes_intrinsics() -> None:
    assert includes("(imm|[a-z]mm|x86)intrin.h") == {"simd"}


def test_kernels_know_nothing_of_tensors_and_operators() -> None:
    for folder in ("codecs", "kernels", "simd", "isa"):
        assert included_by(folder) <= {"codecs", "kernels", "simd", "dispatch"}


def test_hashes_know_strings_alone() -> None:
    assert included_by("strings") <= {"strings"}
    assert included_by("hashing") <= {"hashing", "strings"}


def test_classes_in_headers_have_names_of_their_own() -> None:
    """Of two classes of a name the linker takes one's inline functions for both."""
    # Those of kernels are in anonymous namespaces.
    headers = [path for path in (ROOT / "cpp").rglob("*.h") if path.parent.name not in ("simd", "kernels")]
    headers += (ROOT / "cpp" / "bindings" / "kernels").glob("*.h")
    found = [
        re.findall(r"^(?:class|struct) (\w+)(?: final)?(?: :[^;{]*)? \{", path.read_text(), re.M)
        for path in headers
    ]
    names = Counter(name for each in found for name in each)
    assert len(names) > 100
    assert [name for name, count in names.items() if count > 1] == []


def test_files_of_tests_have_names_of_their_own() -> None:
    """A module of tests is imported by its last name, so the second one of a name stops the run."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_files_are_short() -> None:
    sources = [path for path in tracked() if path.suffix in (".py", ".pyi", ".cpp", ".h")]
    counts = {path.name: path.read_text().count("\n") for path in sources}
    assert {name: count for name, count in counts.items() if count > MAX_LINES} == {}


@pytest.mark.parametrize("module", sorted(modules()))
def test_modules_and_functions_do_one_thing(module: str) -> None:
    tree = modules()[module]
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    assert path.read_text().count("\n") <= MAX_MODULE_LINES
    for item in ast.walk(tree):
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            described = item.body[0].end_lineno if ast.get_docstring(item) else item.lineno - 1
            assert item.end_lineno - described <= MAX_FUNCTION_LINES, item.name


@pytest.mark.parametrize("folder", ["work", "tmp", "home", "root", "Users"])
def test_no_file_names_a_folder_of_one_machine(folder: str) -> None:
    pattern = re.compile(rf"(?<![\w./~-])/{folder}/\w".encode())
    assert [str(path) for path in tracked() if pattern.search(path.read_bytes())] == []


@pytest.mark.parametrize("name", pi.__all__)
def test_public_names_are_documented(name: str) -> None:
    value = getattr(pi, name)
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}("), "a generated docstring"
    functions = [value] if inspect.isfunction(value) else []
    if inspect.isclass(value):
        functions = [
            method
            for key, method in vars(value).items()
            if inspect.isfunction(method) and (key == "__call__" or not key.startswith("_"))
        ]
    for function in functions:
        text = inspect.getdoc(function)
        assert text, function.__qualname__
        parameters = [key for key in inspect.signature(function).parameters if key != "self"]
        if parameters:
            assert "Parameters\n----------\n" in text, function.__qualname__
        for key in parameters:
            assert re.search(rf"^\W*([\w*]+, )*\**{key}\b", text, re.MULTILINE), (function.__qualname__, key)
        # typing's annotations are strings here.
        if parameters and function.__annotations__.get("return") not in (None, "None"):
            assert "Returns\n-------\n" in text, function.__qualname__


def test_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["version"] == pi.__version__


def test_passes_run_in_the_pipeline_alone() -> None:
    """No module beside the passes takes one, so that no graph changes unverified and unseen."""
    steps = {step.apply for stage in (LOAD, SELECT, SPLIT, FINISH) for step in stage}
    names = {step.__name__ for step in steps}
    for name in modules():
        if part(name) == "passes":
            continue
        taken = {
            alias.name
            for item in ast.walk(modules()[name])
            if isinstance(item, ast.ImportFrom) and "passes" in (item.module or "")
            for alias in item.names
        }
        assert taken & names == set(), name


HELPERS = (
    "bags/fields",
    "bags/tables",
    "finish/masked_places",
    "finish/masked_weights",
    "recognise/movement",
)
"""Modules of one pass without a rule of their own: they answer what it asks, and its tests ask it all."""


def passes() -> dict[str, str]:
    """The modules in folders of passes, by folder and name."""
    names = [name.split(".")[2:] for name in modules() if name.startswith("pyrec_infer.passes.")]
    own = [parts for parts in names if len(parts) == 2 and parts[1] != "__init__"]
    return {"/".join(parts): ".".join(("pyrec_infer", "passes", *parts)) for parts in own}


@pytest.mark.parametrize("place", sorted(passes()))
def test_every_pass_has_a_test_of_its_name(place: str) -> None:
    folder, name = place.split("/")
    if place not in HELPERS:
        assert (ROOT / "tests" / "passes" / folder / f"test_{name}.py").is_file()
        return
    users = {user for user, module in passes().items() if passes()[place] in imports(module)}
    assert len(users - {*HELPERS}) == 1, "a helper of several passes has a test of its own"


def test_tests_in_folders_of_passes_are_of_a_pass() -> None:
    found = {
        path.relative_to(ROOT / "tests" / "passes")
        for path in tracked()
        if path.name.startswith("test_") and path.is_relative_to(ROOT / "tests" / "passes")
    }
    places = {f"{path.parent}/{path.stem.removeprefix('test_')}" for path in found if path.parent.name}
    folders = {f"{place.split('/')[0]}/{place.split('/')[0]}" for place in passes()}
    assert places <= {*passes(), *folders} - {*HELPERS}
