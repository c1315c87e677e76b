"""LightGBM's text models, as `save_model` and `model_to_string` write them.

Features are compared in float64 by ``<=``. In front of that LightGBM takes numbers within 1e-35 of zero for
zero, and what is missing for zero, too, or sends it the way that the node says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf, isfinite, nextafter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.source import Imported, Source
from pyrec_infer.formats.trees.assembly import Assembly, Ranges, Tree, runs_of
from pyrec_infer.formats.trees.endings import Ending, imported
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Comparison

_ZERO = float(np.float32(1e-35))
"""Numbers up to here count as zero."""

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_NONE, _ZERO_MISSING, _NAN_MISSING = 0, 1, 2

# Possessive, since lines of a hostile file would be tried again from many places else.
_REAL = r"[+-]?[0-9]++(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?"
_REALS = re.compile(rf"{_REAL}(?: {_REAL})*+", re.ASCII)
_BOUND = rf"(?:[+-]?inf|{_REAL})"
_BOUNDS = re.compile(rf"{_BOUND}(?: {_BOUND})*+", re.ASCII)
"""A branch that tells what is missing from all numbers has infinity for a threshold."""
_WHOLE = re.compile(r"-?[0-9]{1,18}+(?: -?[0-9]{1,18}+)*+", re.ASCII)

_MOST_WORDS = 1 << 20
"""Of 32 bits, in a set of categories."""

_VERSIONS = ("v2", "v3", "v4")

_HEADER = """
version num_class num_tree_per_iteration label_index max_feature_idx objective average_output feature_names
monotone_constraints feature_infos tree_sizes
"""
_TREE = """
num_leaves num_cat split_feature split_gain threshold decision_type left_child right_child leaf_value
leaf_weight leaf_count leaf_parent internal_value internal_weight internal_count cat_boundaries cat_threshold
is_linear leaf_const num_features leaf_features leaf_coeff has_categorical shrinkage
"""
_KNOWN = {"header": frozenset(_HEADER.split()), "tree": frozenset(_TREE.split())}
"""An entry that is not known might change what the others mean."""

_LINKS: Mapping[str, str] = {
    "regression": "",
    "regression_l2": "",
    "regression_l1": "",
    "huber": "",
    "fair": "",
    "quantile": "",
    "mape": "",
    "lambdarank": "",
    "rank_xendcg": "",
    "custom": "",
    "binary": "sigmoid",
    "cross_entropy": "sigmoid",
    "multiclassova": "sigmoid",
    "multiclass": "softmax",
    "cross_entropy_lambda": "softplus",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
}
_OF_ROOTS = ("regression", "regression_l2", "regression_l1", "fair", "quantile", "mape")
"""Those that can be trained on roots of the label."""


class _Section:
    """Entries of a part of the file: ``key=value`` lines, each key once."""

    def __init__(self, where: str, lines: Sequence[str], kind: str) -> None:
        self.where = where
        self.entries: dict[str, str] = {}
        for line in lines:
            if not line:
                continue
            key, _, value = line.partition("=")
            if key in self.entries:
                raise self.fail(f"its entry {key[:40]!r} occurs twice")
            if key not in _KNOWN[kind]:
                raise UnsupportedModelError(f"{where}: its entry {key[:40]!r} is unknown")
            self.entries[key] = value

    def fail(self, rule: str) -> ModelError:
        return ModelError(f"{self.where}: {rule}")

    def text(self, key: str) -> str:
        if key not in self.entries:
            raise self.fail(f"it has no entry {key!r}; the file is damaged or truncated")
        return self.entries[key]

    def whole(self, key: str, count: int) -> NDArray[np.int64]:
        found = self.text(key)
        if not _WHOLE.fullmatch(found):
            raise self.fail(f"{key}: expected whole numbers")
        return self._counted(key, np.asarray([int(word) for word in found.split(" ")], np.int64), count)

    def number(self, key: str) -> int:
        return int(self.whole(key, 1)[0])

    def real(self, key: str, count: int, infinite: bool = False) -> Array:
        found = self.text(key)
        if not (_BOUNDS if infinite else _REALS).fullmatch(found):
            raise self.fail(f"{key}: expected numbers")
        words = found.split(" ")
        values = np.asarray([float(word) for word in words])
        if any("inf" not in words[place] for place in np.flatnonzero(np.isinf(values))):
            raise self.fail(f"{key}: a number is too large for float64")
        return self._counted(key, values, count)

    def _counted(self, key: str, values: Array, count: int) -> Array:
        if len(values) != count:
            raise self.fail(f"{key}: expected {count} numbers, got {len(values)}")
        return values


def is_lightgbm(data: bytes) -> bool:
    return data.startswith((b"tree\nversion=", b"tree\r\nversion="))


def read_lightgbm(source: Source) -> Imported:
    """The graph of a text model; see `imported` for its inputs and outputs.

    Raises
    ------
    ModelError
        The file is damaged or truncated; `UnsupportedModelError` for linear trees, and versions, objectives
        and entries that are not known.
    """
    where = source.where
    header, trees = _sections(source)
    version = header.text("version")
    if version not in _VERSIONS:
        raise UnsupportedModelError(f"{where}: expected a version of {', '.join(_VERSIONS)}, got {version!r}")
    width = header.number("max_feature_idx") + 1
    classes, targets = header.number("num_class"), header.number("num_tree_per_iteration")
    names = header.text("feature_names").split(" ")
    if width < 1 or len(names) != width:
        raise header.fail(f"feature_names: expected {width} names, got {len(names)}")
    if not 1 <= targets == classes:
        raise header.fail(f"expected as many trees an iteration as the {classes} classes, got {targets}")
    if trees and "tree_sizes" in header.entries:
        header.whole("tree_sizes", len(trees))
    if len(trees) % targets:
        raise header.fail(f"{len(trees)} trees for {targets} classes; the file is damaged or truncated")
    assembly = Assembly(Comparison.LESS_EQUAL, np.float64, width, where)
    for place, section in enumerate(trees):
        assembly.add(_tree(section, place % targets))
    forest = assembly.forest(targets, np.empty(0))
    rounds = len(trees) // targets if "average_output" in header.entries else 1
    ending = _ending(header, targets, max(rounds, 1))
    return imported(forest, np.float64, width, _given(names) if source.names_columns else (), ending)


def _given(names: Sequence[str]) -> Sequence[str]:
    """The names of features, if they are not those that LightGBM makes up, and each is one feature's."""
    made_up = all(name == f"Column_{place}" for place, name in enumerate(names))
    return () if made_up or len(set(names)) != len(names) or "" in names else names


def _sections(source: Source) -> tuple[_Section, list[_Section]]:
    """The header and the trees; what follows them, settings of training, is not read."""
    try:
        text = source.data.decode()
    except UnicodeDecodeError as error:
        let_interrupts_pass(error)
        raise ModelError(f"{source.where}: it is no UTF-8 text from byte {error.start} on") from None
    starts: list[int] = []
    # Not `splitlines`, which knows further ends of lines that may stand in names.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    end = -1
    for place, line in enumerate(lines):
        if line.startswith("Tree="):
            if line != f"Tree={len(starts)}":
                raise ModelError(f"{source.where}: expected tree {len(starts)} in line {place + 1}")
            starts.append(place)
        elif line in ("end of trees", "feature importances:"):
            end = place
            break
    if end < 0:
        raise ModelError(f"{source.where}: it does not say where its trees end; the file is truncated")
    edges = [*starts, end]
    header = _Section(source.where, lines[1 : edges[0]], "header")
    trees = [
        _Section(f"{source.where}: tree {place}", lines[begin + 1 : after], "tree")
        for place, (begin, after) in enumerate(zip(starts, edges[1:], strict=True))
    ]
    return header, trees


def _tree(section: _Section, target: int) -> Tree:
    """Nodes first, leaves behind them; the file numbers leaves by their complement."""
    leaves = section.number("num_leaves")
    if leaves < 1:
        raise section.fail("it has no leaves")
    if section.entries.get("is_linear", "0") != "0":
        raise UnsupportedModelError(
            f"{section.where}: its leaves hold linear models, which are not supported: train with "
            "linear_tree=false"
        )
    count = leaves - 1
    values = section.real("leaf_value", leaves)
    if not count:
        # Other entries of a tree without branches differ by version.
        none = np.zeros(1, np.int64)
        return Tree(none == 0, none, np.zeros(1), none, none, none > 0, values, target=target)
    children = []
    for key in ("left_child", "right_child"):
        child = section.whole(key, count)
        if ((child < -leaves) | (child >= count)).any():
            raise section.fail(f"{key}: a child does not exist")
        children.append(np.where(child < 0, count + ~child, child))
    kinds = section.whole("decision_type", count)
    if ((kinds < 0) | (kinds >> 2 > _NAN_MISSING)).any():
        raise section.fail("decision_type: an unknown kind of decision")
    thresholds = section.real("threshold", count, infinite=True)
    features = section.whole("split_feature", count)
    if (features < 0).any():
        raise section.fail("split_feature: expected numbers of features")
    missing_left = (kinds & _DEFAULT_LEFT) > 0
    # Without a way of its own, what is missing is zero.
    missing_left[kinds >> 2 == _NONE] = thresholds[kinds >> 2 == _NONE] >= 0
    ranges: dict[int, Ranges] = {}
    _treat_zeros(thresholds, kinds, missing_left, ranges)
    _add_categories(section, thresholds, kinds, ranges)
    return Tree(
        np.arange(count + leaves) >= count,
        _padded(features, leaves),
        _padded(thresholds, leaves),
        _padded(children[0], leaves),
        _padded(children[1], leaves),
        _padded(missing_left, leaves),
        np.concatenate([np.zeros(count), values]),
        ranges,
        target,
    )


def _padded(values: Array, leaves: int) -> Array:
    return np.concatenate([values, np.zeros(leaves, values.dtype)])


def _treat_zeros(
    thresholds: Array, kinds: Array, missing_left: NDArray[np.bool_], ranges: dict[int, Ranges]
) -> None:
    """Let all numbers that count as zero go one way: that of zero, or the one of what is missing."""
    below = nextafter(-_ZERO, -inf)
    numeric = kinds & _CATEGORICAL == 0
    way = kinds >> 2 == _ZERO_MISSING
    left = np.where(way, missing_left, thresholds >= 0)
    near = numeric & (np.abs(thresholds) <= _ZERO)
    other = numeric & way & ~near & (left != (thresholds > 0))
    for place in np.flatnonzero(other).tolist():
        threshold, zero = float(thresholds[place]), bool(left[place])
        bounds = (threshold, below, _ZERO) if zero else (below, _ZERO, threshold)
        ranges[place] = Ranges(bounds, True, zero)
    thresholds[near] = np.where(left[near], _ZERO, below)


def _add_categories(section: _Section, thresholds: Array, kinds: Array, ranges: dict[int, Ranges]) -> None:
    """Sets of categories: a feature without its fraction is one of them, or the answer is no."""
    places = np.flatnonzero(kinds & _CATEGORICAL).tolist()
    if not places:
        return
    count = section.number("num_cat")
    if not 0 < count <= len(kinds):
        raise section.fail("num_cat: expected the number of its sets of categories")
    edges = section.whole("cat_boundaries", count + 1)
    if edges[0] != 0 or (np.diff(edges) < 0).any():
        raise section.fail("cat_boundaries: expected numbers that grow from 0")
    words = section.whole("cat_threshold", int(edges[-1]))
    if ((words < 0) | (words >> 32 > 0)).any():
        raise section.fail("cat_threshold: expected numbers of 32 bits")
    used: set[int] = set()
    for place in places:
        # Infinity is a threshold, too.
        known = 0 <= thresholds[place] < count
        number = int(thresholds[place]) if known else -1
        if not known or number != thresholds[place] or number in used:
            raise section.fail(f"node {place}: expected a set of categories of its own")
        used.add(number)
        begin, end = edges[number : number + 2].tolist()
        if end - begin > _MOST_WORDS:
            most = 32 * _MOST_WORDS - 1
            raise UnsupportedModelError(f"{section.where}, node {place}: a category is above {most}")
        bounds: list[float] = []
        bits = np.unpackbits(words[begin:end].astype("<u4").view(np.uint8), bitorder="little")
        for low, high in runs_of(np.flatnonzero(bits)):
            # Fractions are cut off: -0.5 is category 0.
            bounds += [nextafter(low, -inf) if low else -1.0, nextafter(high + 1, -inf)]
        # Without any category everything is before the one bound.
        ranges[place] = Ranges(bounds or [inf], False, False)


def _ending(header: _Section, targets: int, rounds: int) -> Ending:
    """What the objective makes of sums; without one, as for functions of the user's, nothing."""
    name, *words = header.entries.get("objective", "custom").split(" ")
    options: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition(":")
        if key in options:
            raise header.fail("objective: an option occurs twice")
        options[key] = value
    link = _LINKS.get(name)
    if link is None:
        raise UnsupportedModelError(f"{header.where}: its objective {name[:40]!r} is unknown")
    allowed = {"num_class", "sigmoid"}
    if name in _OF_ROOTS:
        allowed.add("sqrt")
    if not allowed.issuperset(options):
        unknown = min(options.keys() - allowed)
        raise UnsupportedModelError(
            f"{header.where}: objective {name!r} has an unknown option {unknown[:40]!r}"
        )
    if "sqrt" in options:
        link = "signed square"
    if options.get("num_class", str(targets)) != str(targets):
        raise header.fail(f"objective: expected {targets} classes")
    scale = 1.0
    if name in ("binary", "multiclassova"):
        given = options.get("sigmoid", "1")
        scale = float(given) if re.fullmatch(_REAL, given, re.ASCII) else 0.0
        if scale <= 0 or not isfinite(scale):
            raise header.fail("objective: expected a sigmoid parameter above 0")
    if (link == "softmax" or name == "multiclassova") != (targets > 1) and name != "custom":
        raise header.fail(f"objective {name!r} does not fit {targets} classes")
    return Ending(link, scale, rounds)


__all__ = ["is_lightgbm", "read_lightgbm"]
