"""Exact retrieval: the items whose vectors have the largest products with a request's."""

from pyrec_infer.retrieval.retriever import Retrieved, Retriever

__all__ = ["Retrieved", "Retriever"]
