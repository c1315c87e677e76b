"""XGBoost's models in JSON and UBJSON, as `save_model` writes them.

Features are compared in float32 by ``<``, what is missing goes the way that the node says, and leaves are
added in float32. A feature that is one of a node's categories goes right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.json_text import parse_strict
from pyrec_infer.formats.source import Imported, Source
from pyrec_infer.formats.trees.assembly import Assembly, Ranges, Tree, runs_of
from pyrec_infer.formats.trees.endings import Ending, imported
from pyrec_infer.formats.trees.ubjson import parse_ubjson
from pyrec_infer.ir import Array, Comparison

_UBJSON = b"{L\0\0\0\0\0\0\0\x07learner"

_NUMBER = r"[+-]?[0-9]++(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?"
_SCORES = re.compile(rf"{_NUMBER}|\[{_NUMBER}(?:,{_NUMBER})*+\]", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)

_MOST_CATEGORIES = 1 << 24
"""XGBoost takes larger numbers for no category, as float32 does not hold all of them."""

_MAJORS = (1, 2, 3)

_LINKS: Mapping[str, str] = {
    "reg:squarederror": "",
    "reg:linear": "",
    "reg:squaredlogerror": "",
    "reg:pseudohubererror": "",
    "reg:absoluteerror": "",
    "reg:quantileerror": "",
    "rank:pairwise": "",
    "rank:ndcg": "",
    "rank:map": "",
    "binary:logitraw": "",
    "binary:hinge": "step",
    "reg:logistic": "sigmoid",
    "binary:logistic": "sigmoid",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "survival:cox": "exp",
    "survival:aft": "exp",
    "multi:softprob": "softmax",
    "multi:softmax": "argmax",
}


class _Fields:
    """An object of the file, whose fields have to be what is asked for."""

    def __init__(self, where: str, value: Any) -> None:
        self.where = where
        if not isinstance(value, dict):
            raise ModelError(f"{where}: expected an object")
        self.value: dict[str, Any] = value

    def fail(self, rule: str) -> ModelError:
        return ModelError(f"{self.where}: {rule}")

    def raw(self, key: str) -> Any:
        if key not in self.value:
            raise self.fail(f"it has no field {key!r}")
        return self.value[key]

    def fields(self, key: str) -> _Fields:
        return _Fields(f"{self.where}: {key}", self.raw(key))

    def items(self, key: str) -> list[Any]:
        found = self.raw(key)
        if isinstance(found, np.ndarray):
            return list(found.tolist())
        if not isinstance(found, list):
            raise self.fail(f"{key}: expected a list")
        return found

    def text(self, key: str) -> str:
        found = self.raw(key)
        if not isinstance(found, str):
            raise self.fail(f"{key}: expected a string")
        return found

    def number(self, key: str, default: str = "") -> int:
        """A whole number, which the file has as a string."""
        found = default if default and key not in self.value else self.text(key)
        if not _WHOLE.fullmatch(found):
            raise self.fail(f"{key}: expected a whole number")
        return int(found)

    def array(self, key: str, count: int | None, kinds: str) -> Array:
        found = self.raw(key)
        if not isinstance(found, (list, np.ndarray)) or not all(map(_is_number, found)):
            raise self.fail(f"{key}: expected a list of numbers")
        values = np.asarray(found)
        if count is not None and len(values) != count:
            raise self.fail(f"{key}: expected {count} numbers, got {len(values)}")
        if values.size and values.dtype.kind not in kinds:
            raise self.fail(f"{key}: expected {'numbers' if 'f' in kinds else 'whole numbers'}")
        return values

    def whole(self, key: str, count: int | None) -> NDArray[np.int64]:
        return self.array(key, count, "iub").astype(np.int64)

    def real(self, key: str, count: int | None) -> Array:
        """As float32, which they were written from."""
        values = self.array(key, count, "fiu").astype(np.float64)
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        if (np.isinf(narrow) & np.isfinite(values)).any():
            raise self.fail(f"{key}: a number is too large for float32")
        return narrow


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, np.generic))


def is_xgboost(data: bytes) -> bool:
    start = data[:256].lstrip(b" \t\r\n")
    return data.startswith(_UBJSON) or (start.startswith(b"{") and b'"learner"' in data)


def read_xgboost(source: Source) -> Imported:
    """The graph of a model; see `imported` for its inputs and outputs.

    Raises
    ------
    ModelError
        The file is damaged or truncated; `UnsupportedModelError` for linear boosters, trees with a vector in
        each leaf, and versions and objectives that are not known.
    """
    where, data = source.where, source.data
    whole = (
        parse_ubjson(data, where)
        if data.startswith(_UBJSON)
        else parse_strict(data, ModelError, where, False)
    )
    model = _Fields(where, whole)
    version = model.whole("version", 3).tolist()
    if version[0] not in _MAJORS:
        raise UnsupportedModelError(f"{where}: expected a version of 1 to 3, got {version[0]}")
    learner = model.fields("learner")
    settings = learner.fields("learner_model_param")
    width = settings.number("num_feature")
    if not 0 <= width < 1 << 31:
        raise settings.fail("num_feature: expected a number of features")
    classes, labels = settings.number("num_class", "0"), settings.number("num_target", "1")
    targets = max(classes, labels)
    if not 0 <= classes <= 1 << 24 or not 1 <= labels <= 1 << 24 or min(classes, labels) > 1:
        raise settings.fail("num_class and num_target: expected one of them to be above 1 at most")
    objective = learner.fields("objective").text("name")
    link = _LINKS.get(objective)
    if link is None:
        raise UnsupportedModelError(f"{where}: its objective {objective[:40]!r} is unknown")
    if link in ("softmax", "argmax") and targets == 1:
        raise learner.fail(f"objective {objective!r} needs several classes")
    base = _margins(settings, objective, targets)
    assembly = Assembly(Comparison.LESS, np.float32, width, where)
    for tree in _trees(learner.fields("gradient_booster"), targets, width, _best_rounds(learner)):
        assembly.add(tree)
    names = _names(learner, width) if source.names_columns else ()
    return imported(assembly.forest(targets, base), np.float32, width, names, Ending(link))


def _names(learner: _Fields, width: int) -> Sequence[str]:
    """The names of features, if the file has them, and each is one feature's."""
    names = learner.items("feature_names") if "feature_names" in learner.value else []
    if not all(isinstance(name, str) for name in names) or len(names) not in (0, width):
        raise learner.fail(f"feature_names: expected {width} names")
    return () if len(set(names)) != len(names) or "" in names else names


def _margins(settings: _Fields, objective: str, targets: int) -> Array:
    """What is added to sums: the file has predictions of every score, or one for all."""
    text = settings.text("base_score")
    if not _SCORES.fullmatch(text):
        raise settings.fail("base_score: expected a number, or a list of numbers")
    given = np.asarray([float(word) for word in text.strip("[]").split(",")])
    if len(given) not in (1, targets):
        raise settings.fail(f"base_score: expected 1 or {targets} numbers, got {len(given)}")
    link = _LINKS[objective]
    if (link == "sigmoid" and not ((given > 0) & (given < 1)).all()) or (
        link == "exp" and not (given > 0).all()
    ):
        raise settings.fail(f"base_score: objective {objective!r} predicts no such number")
    if link == "sigmoid":
        given = np.log(given) - np.log1p(-given)
    elif link == "exp":
        given = np.log(given)
    if not (np.abs(given) < np.finfo(np.float32).max).all():
        raise settings.fail("base_score: a number is too large for float32")
    return np.full(targets, given, np.float32)


def _best_rounds(learner: _Fields) -> int | None:
    """Rounds that count in predictions, where not all do: those of estimators in scikit-learn's manner stop
    at the best one, and a file tells that it is of such an estimator."""
    attributes = learner.fields("attributes") if "attributes" in learner.value else None
    if attributes is None or not {"scikit_learn", "best_iteration"} <= attributes.value.keys():
        return None
    return attributes.number("best_iteration") + 1


def _counting(model: _Fields, count: int, targets: int, rounds: int) -> int:
    """The trees of the first rounds."""
    if "iteration_indptr" in model.value:
        ends = model.whole("iteration_indptr", None)
        if not len(ends) or ends[0] != 0 or ends[-1] != count or (np.diff(ends) < 0).any():
            raise model.fail(f"iteration_indptr: expected numbers that grow from 0 to {count}")
    else:
        each = targets * model.fields("gbtree_model_param").number("num_parallel_tree", "1")
        ends = np.arange(0, count + 1, max(each, 1))
    if not 0 < rounds < len(ends):
        raise model.fail(f"best_iteration: expected one of the {len(ends) - 1} rounds, got {rounds - 1}")
    return int(ends[rounds])


def _trees(booster: _Fields, targets: int, width: int, rounds: int | None) -> list[Tree]:
    kind = booster.text("name")
    weights: Array | None = None
    if kind == "dart":
        weights = booster.real("weight_drop", None)
        booster = booster.fields("gbtree")
    elif kind != "gbtree":
        raise UnsupportedModelError(
            f"{booster.where}: boosters {kind[:40]!r} are not supported, but gbtree and dart"
        )
    model = booster.fields("model")
    trees = model.items("trees")
    count = model.fields("gbtree_model_param").number("num_trees")
    if count != len(trees):
        raise model.fail(f"trees: expected {count}, got {len(trees)}")
    groups = model.whole("tree_info", count)
    if ((groups < 0) | (groups >= targets)).any():
        raise model.fail(f"tree_info: expected numbers below {targets}")
    if weights is not None and (len(weights) != count or not np.isfinite(weights).all()):
        raise model.fail(f"weight_drop: expected {count} numbers")
    counting = count if rounds is None else _counting(model, count, targets, rounds)
    made = []
    for place, value in enumerate(trees[:counting]):
        tree = _tree(_Fields(f"{model.where}: tree {place}", value), width)
        factor = np.float32(1) if weights is None else weights[place]
        made.append(replace(tree, values=tree.values * factor, target=int(groups[place])))
    return made


def _tree(given: _Fields, width: int) -> Tree:
    settings = given.fields("tree_param")
    if settings.number("size_leaf_vector", "1") > 1:
        raise UnsupportedModelError(
            f"{given.where}: its leaves hold vectors, which are not supported: train with "
            "multi_strategy='one_output_per_tree'"
        )
    left = given.whole("left_children", None)
    count = len(left)
    if count != settings.number("num_nodes"):
        raise settings.fail(f"num_nodes: expected {count}")
    right = given.whole("right_children", count)
    leaf = left == -1
    if (leaf != (right == -1)).any() or (
        (left < -1) | (left >= count) | (right < -1) | (right >= count)
    ).any():
        raise given.fail("a node's child does not exist")
    numbers = given.real("split_conditions", count)
    features = given.whole("split_indices", count)
    default = given.whole("default_left", count) != 0
    ranges = _categories(given, default, leaf)
    # Older versions leave NaN where categories are tested.
    numbers[list(ranges)] = 0
    kept = _reached(left.tolist(), right.tolist())
    if count - len(kept) != settings.number("num_deleted", "0"):
        raise given.fail(f"{count - len(kept)} nodes are not reached, and the file does not say so")
    if not np.isfinite(numbers[kept][leaf[kept]]).all() or np.isnan(numbers[kept]).any():
        raise given.fail("split_conditions: expected numbers, which are finite in leaves")
    order = np.zeros(count, np.int64)
    order[kept] = np.arange(len(kept))
    return Tree(
        leaf[kept],
        features[kept],
        numbers[kept],
        order[left[kept]],
        order[right[kept]],
        default[kept],
        numbers[kept],
        {int(order[node]): ranges[node] for node in sorted(ranges.keys() & set(kept))},
    )


def _reached(left: list[int], right: list[int]) -> list[int]:
    """The nodes that the root leads to, in their order: those that were pruned stay in the file."""
    seen, pending = [False] * len(left), [0] if left else []
    while pending:
        node = pending.pop()
        if not seen[node]:
            seen[node] = True
            if left[node] >= 0:
                pending += (left[node], right[node])
    return [node for node, reached in enumerate(seen) if reached]


def _categories(given: _Fields, default: NDArray[np.bool_], leaf: NDArray[np.bool_]) -> dict[int, Ranges]:
    """Tests of categories: a feature without its fraction that is one of them goes right."""
    count = len(leaf)
    kinds = given.whole("split_type", count) if "split_type" in given.value else np.zeros(count, np.int64)
    if ((kinds < 0) | (kinds > 1)).any():
        raise given.fail("split_type: expected 0 or 1")
    wanted = set(np.flatnonzero((kinds == 1) & ~leaf).tolist())
    if not wanted:
        return {}
    nodes = given.whole("categories_nodes", None).tolist()
    starts = given.whole("categories_segments", len(nodes)).tolist()
    sizes = given.whole("categories_sizes", len(nodes)).tolist()
    members = given.whole("categories", None)
    if ((members < 0) | (members >= _MOST_CATEGORIES)).any():
        raise given.fail(f"categories: expected numbers below {_MOST_CATEGORIES}")
    if len(set(nodes)) != len(nodes) or not wanted <= set(nodes):
        raise given.fail("categories_nodes: expected each node that tests categories once")
    found: dict[int, Ranges] = {}
    end = 0
    for node, start, size in zip(nodes, starts, sizes, strict=True):
        if start != end or size < 0 or start + size > len(members):
            raise given.fail("categories_segments: expected segments one behind the other")
        end = start + size
        if node not in wanted:
            raise given.fail(f"categories_nodes: node {node} tests no categories")
        own = members[start:end]
        bounds = [float(bound) for low, high in runs_of(np.unique(own)) for bound in (low, high + 1)]
        missing = bool(default[node])
        # Without any category everything is behind the one bound.
        found[node] = Ranges(bounds, True, missing) if bounds else Ranges([-np.inf], False, missing)
    return found


__all__ = ["is_xgboost", "read_xgboost"]
