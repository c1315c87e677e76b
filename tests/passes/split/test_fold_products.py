"""Products of both sides folded into the layer after them: the same values, and less for a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.graphs import F32, N, alike
from support.models import FLOAT, make_model
from support.split_graphs import multiplications

import pyrec_infer as pi
from pyrec_infer.ir import Array, Graph, Info, Node, verify
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split import fold_products as module
from pyrec_infer.passes.split.fold_products import fold_products

SIDES = Sides(frozenset("uv"))
WITH_ITEMS = Sides(frozenset("uv"), frozenset("ij"))
COLUMNS = 4


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).integers(-4, 5, shape).astype(np.float32) / 4


def graph_of(nodes: Sequence[Node], constants: dict[str, Any], **sizes: tuple[int, ...]) -> Graph:
    infos = {name: Info(np.dtype(F32), (N, *size), 0) for name, size in sizes.items()}
    stored = {name: np.asarray(value) for name, value in constants.items()}
    graph = Graph(tuple(sizes), ("y",), tuple(nodes), stored, infos)
    verify(graph, "the test")
    return graph


def folded(graph: Graph, sides: Sides = SIDES) -> Graph:
    """The graph after the pass, once it is known to mean the same."""
    after = remove_dead(fold_products(graph, sides))
    verify(after, "fold_products")
    assert not analyze(after).coupled
    return alike(graph, after, request=sides.request)


def packs(graph: Graph) -> int:
    return sum(node.op == "pyrec.Pack" for node in graph.nodes)


def outer(
    left: Sequence[str],
    right: Sequence[str],
    positions: tuple[int, ...] = (),
    bias: str = "row",
    widths: dict[str, int] | None = None,
) -> Graph:
    """A layer over all products of two values, each of which is put together from inputs."""
    widths = widths or {"u": 3, "v": 2, "i": 2, "j": 3}
    h, m = (sum(widths[name] for name in names) for names in (left, right))
    lead = [0, *positions]
    constants = {
        "column": [*lead, h, 1],
        "line": [*lead, 1, m],
        "flat": [*lead, h * m],
        "w": numbers(h * m, COLUMNS),
        "row": numbers(COLUMNS, seed=1),
        "number": F32.type(0.5),
        "two": numbers(1, COLUMNS, seed=2),
    }
    last = len(positions) + 1
    nodes = [
        Node("Concat", tuple(left), ("a",), {"axis": last}),
        Node("Concat", tuple(right), ("b",), {"axis": -1}),
        Node("Reshape", ("a", "column"), ("ac",)),
        # A value is multiplied with itself.
        Node("Reshape", ("a" if left == right else "b", "line"), ("bl",)),
        Node("Mul", ("bl", "ac"), ("m",)),
        Node("Reshape", ("m", "flat"), ("f",)),
        Node("pyrec.Dense", ("f", "w", bias) if bias else ("f", "w"), ("y",), {"activation": "Relu"}),
    ]
    sizes = {name: (*positions, widths[name]) for name in dict.fromkeys((*left, *right))}
    if bias in ("v_bias", "p"):
        sizes["v" if bias == "v_bias" else "p"] = (*positions, COLUMNS)
        nodes.insert(0, Node("Neg", ("v",), ("v_bias",)))
        nodes = nodes if bias == "v_bias" else nodes[1:]
    return graph_of(nodes, constants, **sizes)


@pytest.mark.once
@pytest.mark.parametrize("positions", [(), (3,), (2, 3)])
@pytest.mark.parametrize("sides", [SIDES, WITH_ITEMS], ids=["candidates", "items"])
@pytest.mark.parametrize(
    ("left", "right", "late"),
    [
        ("u", "i", 2),
        ("i", "u", 2),
        ("uv", "ij", 5),
        ("uiv", "jvu", 3 + 2 + 2 * 3),
        ("i", "uvj", 2 + 2 * 3),
        ("uiv", "uiv", 2 + 2 * 2),
    ],
)
def test_what_the_request_knows_of_an_outer_product_is_summed_for_it(
    positions: tuple[int, ...], sides: Sides, left: str, right: str, late: int
) -> None:
    after = folded(outer(left, right, positions), sides)
    assert packs(after) == 1
    found = multiplications(after, sides)
    assert found["PAIR"] + found["ITEM"] == int(np.prod(positions)) * late * COLUMNS


@pytest.mark.once
@pytest.mark.parametrize("bias", ["", "row", "number", "v_bias", "p"])
@pytest.mark.parametrize("positions", [(), (3,)])
def test_biases(bias: str, positions: tuple[int, ...]) -> None:
    assert packs(folded(outer("ui", "iu", positions, bias), WITH_ITEMS)) == 1


@pytest.mark.once
def test_outer_products_that_stay() -> None:
    assert packs(folded(outer("i", "j"))) == 0
    # As many multiplications as before.
    assert packs(folded(outer("u", "i", widths={"u": 1, "i": 5}))) == 0
    assert packs(folded(outer("u", "i", bias="two"))) == 0


@pytest.mark.once
def test_matrices_that_take_too_long_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = outer("u", "i"), bilinear([(0, 2), (1, 2)], ("u", "i"))
    for most, made in ((2 * 3 * COLUMNS, 1), (2 * 3 * COLUMNS - 1, 0)):
        monkeypatch.setattr(module, "_MOST", most)
        assert [packs(folded(graph)) for graph in graphs] == [made, made]


def bilinear(pairs: Sequence[tuple[int, int]], fields: Sequence[str], weighted: bool = False) -> Graph:
    """A layer over products of pairs of fields of width 3, and over another input."""
    counts = {"u": 2, "v": 1, "i": 1, "j": 2}
    constants = {
        "left": [a for a, _ in pairs],
        "right": [b for _, b in pairs],
        "flat": [-1, 3 * len(pairs)],
        "square": numbers(3, 3, seed=3),
        "w": numbers(3 * len(pairs) + 5, COLUMNS),
        "b": numbers(COLUMNS, seed=1),
    }
    nodes = [
        Node("Concat", tuple(fields), ("e",), {"axis": 1}),
        *([Node("pyrec.Dense", ("e", "square"), ("s",))] if weighted else []),
        Node("Gather", ("s" if weighted else "e", "left"), ("l",), {"axis": 1}),
        Node("Gather", ("e", "right"), ("r",), {"axis": 1}),
        Node("Mul", ("l", "r"), ("m",)),
        Node("Reshape", ("m", "flat"), ("f",)),
        Node("Concat", ("f", "x"), ("c",), {"axis": 1}),
        Node("pyrec.Dense", ("c", "w", "b"), ("y",)),
    ]
    return graph_of(nodes, constants, **{name: (counts[name], 3) for name in fields}, x=(5,))


@pytest.mark.once
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sides", [SIDES, WITH_ITEMS], ids=["candidates", "items"])
@pytest.mark.parametrize("seed", range(6))
def test_products_of_pairs_of_fields(seed: int, sides: Sides, weighted: bool) -> None:
    random = np.random.default_rng(seed)
    fields = tuple(random.permutation(list("uvij")))
    pairs = [(int(a), int(b)) for a in range(6) for b in range(6) if random.random() < 0.7]
    assert packs(folded(bilinear(pairs, fields, weighted), sides)) == 1


@pytest.mark.once
def test_fields_multiplied_one_by_one() -> None:
    names = [(a, b) for a in "uv" for b in "ij"]
    nodes = [Node("Mul", pair, (f"m{k}",)) for k, pair in enumerate(names)]
    nodes += [
        Node("Concat", ("m0", "x", "m1", "m2", "m3"), ("c",), {"axis": 1}),
        Node("pyrec.Dense", ("c", "w"), ("y",), {"activation": "Sigmoid"}),
    ]
    constants = {"w": numbers(4 * 3 + 5, COLUMNS)}
    graph = graph_of(nodes, constants, **dict.fromkeys("uvij", (3,)), x=(5,))
    after = folded(graph)
    assert packs(after) == 1
    assert multiplications(after, SIDES)["PAIR"] == (2 * 3 + 5) * COLUMNS


@pytest.mark.once
def test_pairs_of_fields_that_stay() -> None:
    # A product for each of the candidate's fields.
    assert packs(folded(bilinear([(0, 2), (1, 3)], ("u", "j")))) == 0
    assert packs(folded(bilinear([(0, 1), (1, 2)], ("i", "j")))) == 0


@pytest.mark.once
@pytest.mark.parametrize("masked", ["flat", "mask"])
def test_fields_times_a_mask_of_all_of_them(masked: str) -> None:
    nodes = [
        Node("Concat", ("u", "i"), ("e",), {"axis": 1}),
        Node("Reshape", ("e", "rows"), ("flat",)),
        Node("pyrec.Dense", ("flat", "square"), ("mask",)),
        Node("Mul", ("flat", "mask") if masked == "flat" else ("mask", "flat"), ("m",)),
        Node("pyrec.Dense", ("m", "w"), ("y",)),
    ]
    constants = {"rows": np.asarray([0, 9]), "square": numbers(9, 9), "w": numbers(9, COLUMNS)}
    assert packs(folded(graph_of(nodes, constants, u=(2, 3), i=(1, 3)))) == 0


def network() -> bytes:
    """A compressed interaction network and bilinear interactions of six fields of width 8."""
    count, width = 6, 8
    left, right = np.triu_indices(count, 1)
    random = np.random.default_rng(0)

    def weights(*shape: int) -> Array:
        return (random.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)

    constants = {
        "fields": np.asarray([-1, count, width]),
        "pairs0": np.asarray([0, count * count, width]),
        "pairs1": np.asarray([0, 5 * count, width]),
        "w0": weights(5, count * count, 1),
        "w1": weights(7, 5 * count, 1),
        "b1": weights(7),
        "square": weights(width, width),
        "left": left,
        "right": right,
        "flat": np.asarray([-1, len(left) * width]),
        "w2": weights(16, len(left) * width).T.copy(),
        "w3": weights(7 + 16, 1),
        "last": np.asarray([-1]),
    }
    nodes = [
        helper.make_node("Concat", ["user", "item"], ["joined"], axis=1),
        helper.make_node("Reshape", ["joined", "fields"], ["e"]),
        helper.make_node("Einsum", ["e", "e"], ["z0"], equation="bhd,bmd->bhmd"),
        helper.make_node("Reshape", ["z0", "pairs0"], ["p0"]),
        helper.make_node("Conv", ["p0", "w0"], ["c0"]),
        helper.make_node("Relu", ["c0"], ["h0"]),
        helper.make_node("Einsum", ["h0", "e"], ["z1"], equation="bhd,bmd->bhmd"),
        helper.make_node("Reshape", ["z1", "pairs1"], ["p1"]),
        helper.make_node("Conv", ["p1", "w1", "b1"], ["c1"]),
        helper.make_node("ReduceSum", ["c1", "last"], ["h1"], keepdims=0),
        helper.make_node("MatMul", ["e", "square"], ["s"]),
        helper.make_node("Gather", ["s", "left"], ["l"], axis=1),
        helper.make_node("Gather", ["e", "right"], ["r"], axis=1),
        helper.make_node("Mul", ["l", "r"], ["m"]),
        helper.make_node("Reshape", ["m", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "w2"], ["g"]),
        helper.make_node("Tanh", ["g"], ["t"]),
        helper.make_node("Concat", ["h1", "t"], ["top"], axis=1),
        helper.make_node("MatMul", ["top", "w3"], ["score"]),
    ]
    inputs = {"user": (FLOAT, ["N", 4 * width]), "item": (FLOAT, ["N", 2 * width])}
    return make_model(nodes, inputs, {"score": (FLOAT, ["N", 1])}, constants).SerializeToString()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_scores_of_a_model(precision: Any) -> None:
    random = np.random.default_rng(1)
    model = pi.load(network(), precision=precision)
    user = random.normal(size=(1, 32)).astype(np.float32)
    item = random.normal(size=(70, 16)).astype(np.float32)
    exact = pi.load(network()).run({"user": np.repeat(user, 70, axis=0), "item": item})["score"].reshape(-1)
    near = {"fp32": 2e-5, "bf16": 0.05, "int8": 0.2}[precision] * np.abs(exact).max()
    assert "pyrec.Pack" in str(model.explain(["user"]))
    catalog = model.catalog({"item": item})
    for rows in (70, 1):
        scores = model.score({"user": user}, {"item": item[:rows]})
        np.testing.assert_allclose(scores, exact[:rows], rtol=0, atol=near)
        np.testing.assert_allclose(
            catalog.score({"user": user}, np.arange(rows)), exact[:rows], rtol=0, atol=near
        )
