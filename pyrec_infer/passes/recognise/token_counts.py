"""Counts of a text's tokens, made without the rows of tokens that are filled up to the longest of a batch."""

from __future__ import annotations

from pyrec_infer.ir import Node, same_size
from pyrec_infer.passes.common.rules import Site


def count_tokens(node: Node, site: Site) -> str | None:
    """``TfIdfVectorizer(Tokenizer(x))``, where what fills up is in no n-gram, so that rows stay apart."""
    flat = site.source(node.inputs[0], "Flatten")
    name = node.inputs[0] if flat is None or flat.attribute("axis", 1) != 1 else flat.inputs[0]
    tokens = site.source(name, "com.microsoft.Tokenizer")
    shape = None if tokens is None else site.shape(tokens.inputs[0])
    if (
        tokens is None
        or shape is None
        or not (len(shape) == 1 or (len(shape) == 2 and same_size(shape[1], 1)))
    ):
        return None
    if len(shape) == 2 and flat is None:
        return None
    pool = {str(text) for text in node.attribute("pool_strings", ())}
    if not pool or tokens.attribute("mark", 0) or str(tokens.attribute("pad_value", "#")) in pool:
        return None
    return site.node("pyrec.TokenCounts", tokens.inputs[0], **{**tokens.attributes, **node.attributes})


RULES = {"TfIdfVectorizer": (count_tokens,)}
