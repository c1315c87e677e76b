"""When a request may be repeated for every candidate, and what has to be known before it is.

A request is scored as if its row were repeated for every candidate, so of an input with rows the row is
repeated. An input without rows is shared by all candidates. That is right for a table or a number, and
wrong for a list whose parts belong to rows: repeating the request would append the list to itself, and
positions in it would move. Nothing in a file tells the two apart; how a list is read does:

- A node that keeps rows apart reads what is shared in the same way for every row. Sharing is then the
  same as repeating: each row finds what the request's own row finds.
- A node that couples rows may pair the places of a shared list with rows by their order, and so may
  whatever reads a list with something that a coupled node made. Nothing shows that such a node would
  find the same in a repeated list, so the request is refused.
- The bounds of bags are the exception: bags that follow each other in a list keep their contents when
  both are repeated. So bounds are worked out once, from the rows of their own side, before anything is
  repeated, and each row of them is read in the list as it was given. The list and the bounds have
  to come from the same side.

What is read by rows' order from a list that comes with the candidates is right for one request, whose
candidates are one batch, and refused for several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyrec_infer.errors import InputError, UnsupportedModelError
from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Rows, Shape, same_size
from pyrec_infer.ops.bags import BOUNDS
from pyrec_infer.ops.core.inference import Analysis, analyze
from pyrec_infer.ops.core.registry import has, with_trait
from pyrec_infer.ops.core.shapes import constant_integers, product, same_shape
from pyrec_infer.ops.core.traits import Trait
from pyrec_infer.passes.clean.remove_dead import keep_outputs
from pyrec_infer.passes.load.resolve_sizes import named_sizes
from pyrec_infer.passes.split.list_uses import joining_node

_VIEWS = frozenset({*with_trait(Trait.VIEW), "Cast", "Identity"})


@dataclass(frozen=True)
class Derived:
    """Values that are worked out once for a call, from all rows of one side.

    Attributes
    ----------
    graph : Graph
        From inputs of the model to values that the rest of the model takes as inputs.
    request : bool
        Whether they belong to the request; else to the candidates or the items.
    labels : mapping of str to str
        For each value the model's input that it stands for in messages.
    """

    graph: Graph
    request: bool
    labels: Mapping[str, str]


class _Sources:
    """The inputs that values depend on, and the lists among them."""

    def __init__(self, graph: Graph, analysis: Analysis) -> None:
        self.graph = graph
        self.infos = analysis.infos
        self.coupled = analysis.coupled
        self.inputs: dict[str, frozenset[str]] = dict.fromkeys(graph.constants, frozenset())
        self.inputs.update((name, frozenset((name,))) for name in graph.inputs)
        lengths: dict[str, set[str]] = {}
        for name in graph.inputs:
            for size in self.infos[name].shape or ():
                for symbol in size.symbols if isinstance(size, Dim) else ():
                    if symbol != BATCH:
                        lengths.setdefault(symbol, set()).add(name)
        for node in graph.nodes:
            found = frozenset[str]().union(*(self.inputs[name] for name in node.inputs if name))
            found = found.union(*(lengths.get(symbol, ()) for symbol in named_sizes(node)))
            self.inputs.update((name, found) for name in node.outputs if name)

    def shared(self, name: str) -> frozenset[str]:
        """The inputs without rows that a value depends on."""
        return frozenset(source for source in self.inputs[name] if self.infos[source].rows < 0)

    def is_list(self, name: str, coupled: bool) -> bool:
        """Whether a value is the same for all rows, yet may hold something for each of them."""
        info = self.infos[name]
        if info.rows != Rows.INVARIANT or info.constant is not None or not self.shared(name):
            return False
        size = None if info.shape is None else product(info.shape)
        return not isinstance(size, int) or (coupled and size != 1)


def _offsets_input(name: str, graph: Graph, infos: Mapping[str, Info]) -> str | None:
    """The input that a vector of offsets is, but for its element type and shape."""
    while name not in graph.inputs:
        node = graph.producers.get(name)
        if node is None or not (node.op in _VIEWS or _all_but_last(node, infos) or _vector(node, infos)):
            return None
        name = node.inputs[0]
    return name if infos[name].rank in (1, 2) else None


def _all_but_last(node: Node, infos: Mapping[str, Info]) -> bool:
    """Whether a node leaves out the last offset, which ends a bag and begins none."""
    given = infos[node.inputs[0]]
    if node.op != "Slice" or given.rank != 1 or given.rows != Rows.INVARIANT:
        return False
    bounds = [
        constant_integers(infos[name]) if name else default
        for name, default in zip(node.inputs[1:], (None, None, (0,), (1,)), strict=False)
    ]
    return bounds == [(0,), (-1,), (0,), (1,)][: len(bounds)] and len(bounds) > 1


def _pairs_input(name: str, graph: Graph, infos: Mapping[str, Info]) -> str | None:
    """The input that a list of rows is read off, each pair's row off its own part."""
    while name not in graph.inputs:
        node = graph.producers.get(name)
        if node is None or not (node.op in _VIEWS or _vector(node, infos)):
            return None
        name = node.inputs[0]
    return name if infos[name].rank in (1, 2) else None


def _vector(node: Node, infos: Mapping[str, Info]) -> bool:
    """Whether a node takes one of a fixed number of vectors."""
    shape, made = infos[node.inputs[0]].shape, infos[node.outputs[0]].shape
    if shape is None or made is None or len(shape) != 2:
        return False
    if node.op == "Gather" and infos[node.inputs[1]].constant is not None and len(made) == 1:
        axis = int(node.attribute("axis", 0)) % 2
    elif node.op == "Slice" and len(node.inputs) > 3:
        axes = constant_integers(infos[node.inputs[3]])
        if axes is None or len(axes) != 1 or not same_size(made[axes[0]], 1):
            return False
        axis = axes[0] % 2
    else:
        return False
    return isinstance(shape[axis], int) and isinstance(shape[1 - axis], Dim)


def _kept_apart(bounds: Node, sources: _Sources, sides: Sequence[frozenset[str]]) -> bool:
    """Whether each of the lengths that bounds are made of depends on its own row only."""
    pending, seen = [bounds.inputs[0]], set[str]()
    while pending:
        node = sources.graph.producers.get(pending.pop())
        if node is None or node.outputs[0] in seen:
            continue
        seen.update(node.outputs)
        if node in sources.coupled:
            # Bounds of their own are worked out before, and have a row for each bag.
            if not _derivable(node, sources, sides):
                return False
            continue
        if node.op == "pyrec.LengthsOfOffsets":
            if not _offsets_of(node.inputs[0], bounds, sources):
                return False
            continue
        if sources.is_list(node.outputs[0], False) and not _by_place(node, sources):
            return False
        pending += [source for source in node.inputs if source]
    return True


def _by_place(node: Node, sources: _Sources) -> bool:
    """Whether each element of a list depends on what stands at its place in other lists."""
    infos = sources.infos
    shape = infos[node.outputs[0]].shape
    if node.op in _VIEWS:
        return same_shape(_open_sizes(shape), _open_sizes(infos[node.inputs[0]].shape))
    if not has(node, Trait.ELEMENTWISE):
        return False
    lists = [name for name in node.inputs if name and sources.is_list(name, False)]
    return all(same_shape(shape, infos[name].shape) for name in lists)


def _open_sizes(shape: Shape | None) -> Shape | None:
    """The sizes of a shape but for those of 1."""
    return None if shape is None else tuple(size for size in shape if not same_size(size, 1))


def _offsets_of(name: str, bounds: Node, sources: _Sources) -> bool:
    """Whether a vector holds the offsets of an input, to which the number of ids may be added."""
    node, ids = sources.graph.producers.get(name), sources.infos[bounds.inputs[1]].shape
    if node is not None and node.op == "Concat" and len(node.inputs) == 2 and bounds.attribute("full", 0):
        total = sources.infos[node.inputs[1]].contents
        if not ids or total is None or total.size != 1 or not same_size(total.reshape(-1)[0], ids[0]):
            return False
        name = node.inputs[0]
    return _pairs_input(name, sources.graph, sources.infos) is not None


def _derivable(node: Node, sources: _Sources, sides: Sequence[frozenset[str]]) -> bool:
    """Whether a node makes bounds that stay right for a repeated list, from one side alone."""
    if node.op not in BOUNDS:
        return False
    first = node.inputs[0]
    if node.op in ("pyrec.BagBoundsOfLengths", "pyrec.BagBoundsOfFields"):
        proven = _kept_apart(node, sources, sides)
    else:
        find = _offsets_input if node.op == "pyrec.BagBounds" else _pairs_input
        proven = find(first, sources.graph, sources.infos) is not None
    made, read = sources.infos[node.outputs[0]], sources.inputs[node.outputs[0]]
    # What is worked out before is an input then, and has a row for each row.
    by_row = made.rows != 0 or (made.shape is not None and same_size(made.shape[0], Dim.symbol(BATCH)))
    return proven and by_row and any(read <= side for side in sides)


def find_lists(graph: Graph) -> frozenset[str]:
    """The inputs without rows whose parts belong to rows as the bounds of bags say.

    Such an input is as long as the rows that come with it need, so it belongs to their side.
    """
    sources = _Sources(graph, analyze(graph))
    found: set[str] = set()
    for node in graph.nodes:
        names = node.inputs if node.op in BOUNDS else ()
        if node.op == "pyrec.EmbeddingBag":
            names = node.inputs[1:]
        for name in names:
            found.update(sources.shared(name) if name else ())
    return frozenset(found)


@dataclass(frozen=True)
class Ragged:
    """A graph whose bounds are inputs, and how they are made.

    Attributes
    ----------
    graph : Graph
        With the derived values among its inputs, after those of the model.
    derived : tuple of Derived
    request : frozenset of str
        The inputs of the graph on the request's side, with derived ones.
    items : frozenset of str
        Likewise for a catalogue's items.
    one_request : str
        Why several requests cannot be scored in one call; empty where they can.
    """

    graph: Graph
    derived: tuple[Derived, ...]
    request: frozenset[str]
    items: frozenset[str]
    one_request: str


def _refusal(node: Node, source: str) -> str:
    return (
        f"input '{source}': it has no rows of its own, and {node.title} may pair its parts "
        "with the rows by their order"
    )


def _check(sources: _Sources, derivable: frozenset[Node], request: frozenset[str]) -> str:
    """Refuse what cannot be repeated; gives the reason against several requests, or nothing."""
    ordered: set[str] = set()
    one_request = ""
    for node in sources.graph.nodes:
        names = [name for name in node.inputs if name]
        if node in derivable:
            continue
        if node.op == "pyrec.EmbeddingBag":
            _check_bag(node, sources, request)
        coupled = node in sources.coupled
        if not coupled and ordered.isdisjoint(names):
            continue
        ordered.update(name for name in node.outputs if name)
        for name in names:
            if not sources.is_list(name, coupled):
                continue
            for source in sorted(sources.shared(name)):
                if source in request:
                    raise InputError(
                        f"{_refusal(node, source)}: expected an input that can be repeated for every "
                        "candidate, got one that cannot. Give it with the candidates, or use `run`"
                    )
                one_request = one_request or _refusal(node, source)
    return one_request


def _check_bag(node: Node, sources: _Sources, request: frozenset[str]) -> None:
    """Bags and their bounds have to come together."""
    bounds = sources.inputs[node.inputs[2]]
    for name in node.inputs[1:]:
        for source in sorted(sources.shared(name) if name else ()):
            for other in sorted(bounds):
                if (source in request) != (other in request):
                    raise InputError(
                        f"input '{source}': expected on the side of input '{other}', which tells the "
                        "bags in it, got on the other"
                    )


def separate_bounds(graph: Graph, request: frozenset[str], items: frozenset[str] = frozenset()) -> Ragged:
    """Take the bounds of bags out of a graph, and refuse what cannot be repeated.

    Parameters
    ----------
    graph : Graph
        As `compile_graph` leaves it.
    request, items : frozenset of str
        See `Sides`.

    Raises
    ------
    InputError
        If an input of the request cannot be repeated for every candidate, or a list and its bounds do
        not come together; names the input and the node.

    Examples
    --------
    >>> import numpy as np
    >>> i64, n = np.dtype(np.int64), Dim.symbol(BATCH)
    >>> given = {"ids": Info(i64, (Dim.symbol("L"),)), "offsets": Info(i64, (n,), 0)}
    >>> nodes = (Node("pyrec.BagBounds", ("offsets", "ids"), ("b",)),
    ...          Node("pyrec.EmbeddingBag", ("table", "ids", "b"), ("y",)))
    >>> constants = {"table": np.ones((9, 2), np.float32)}
    >>> made = separate_bounds(Graph(("ids", "offsets"), ("y",), nodes, constants, given), frozenset())
    >>> made.graph.inputs, made.derived[0].graph.inputs, made.derived[0].labels
    (('ids', 'offsets', 'b'), ('ids', 'offsets'), {'b': 'offsets'})
    """
    own, stored = request & set(graph.inputs), items & set(graph.inputs)
    if graph.static_rows:
        return Ragged(graph, (), own, stored, "")
    sources = _Sources(graph, analyze(graph))
    late = frozenset(graph.inputs) - own - stored
    sides = (own, stored, late)
    derivable = frozenset(node for node in graph.nodes if _derivable(node, sources, sides))
    one_request = _check(sources, derivable, own)
    found: list[Derived] = []
    added: dict[str, Info] = {}
    groups = []
    for side in sides:
        nodes = [
            node for node in graph.nodes if node in derivable and sources.inputs[node.outputs[0]] <= side
        ]
        made = [name for node in nodes for name in node.outputs if name]
        groups.append(side | frozenset(made))
        if not made:
            continue
        part = keep_outputs(graph, made)
        read = {name for node in part.nodes for name in node.inputs}
        part = part.with_(inputs=tuple(name for name in graph.inputs if name in read))
        labels = {name: _label(node, sources) for node in nodes for name in node.outputs if name}
        found.append(Derived(part, side is own, labels))
        for node in nodes:
            added.update((name, sources.infos[name]) for name in node.outputs if name)
    if not found:
        return Ragged(graph, (), own, stored, one_request)
    kept = tuple(node for node in graph.nodes if node not in derivable)
    infos = {**graph.infos, **added}
    cut = keep_outputs(graph.with_(inputs=(*graph.inputs, *added), nodes=kept, infos=infos), graph.outputs)
    orders = frozenset(name for node in derivable if node.op == "pyrec.OrderOfPairs" for name in node.outputs)
    joined = _check_lists(cut, find_lists(graph), orders, own, stored)
    return Ragged(cut, tuple(found), groups[0], groups[1], one_request or joined)


def _check_lists(
    cut: Graph, lists: frozenset[str], orders: frozenset[str], request: frozenset[str], items: frozenset[str]
) -> str:
    """Refuse lists whose parts are joined beside the bags; gives the reason against several requests."""
    one_request = ""
    for name in sorted(lists):
        sizes = [size for size in cut.infos[name].shape or () if isinstance(size, Dim)]
        symbols = {symbol for size in sizes for symbol in size.symbols}
        for symbol in sorted(symbols - {BATCH}):
            node = joining_node(cut, symbol, orders)
            if node is None:
                continue
            reason = (
                f"input '{name}': its parts belong to rows, as bags tell, and {node.title} "
                "joins those of several"
            )
            if name in items:
                raise UnsupportedModelError(f"{reason}: a catalogue needs them apart. Use `score` or `run`")
            if name in request:
                raise InputError(
                    f"{reason}: expected an input that can be repeated for every candidate, got one that "
                    "cannot. Give it with the candidates, or use `run`"
                )
            one_request = one_request or reason
    return one_request


def _label(node: Node, sources: _Sources) -> str:
    read = sources.inputs[node.inputs[0]] or sources.inputs[node.outputs[0]]
    return min(read, default=node.outputs[0])


__all__ = ["Derived", "Ragged", "find_lists", "separate_bounds"]
