"""Patterns of recommendation models, one a file, and the pass that rewrites them all."""

from pyrec_infer.ir import Graph
from pyrec_infer.passes.recognise import (
    bags,
    broadcasts,
    concatenations,
    dice,
    layers,
    pair_dots,
    segments,
    transposes,
    views,
)
from pyrec_infer.passes.rules import apply_rules, joined

RULES = joined(
    bags.RULES,
    segments.RULES,
    views.RULES,
    transposes.RULES,
    broadcasts.RULES,
    concatenations.RULES,
    pair_dots.RULES,
    layers.RULES,
    dice.RULES,
)


def recognise(graph: Graph) -> Graph:
    """Rewrite the patterns that exporters spell in many ways to the one way that later passes know."""
    return apply_rules(graph, RULES)
