"""Exact retrieval: the items whose vectors have the largest products with a request's."""

from pyrec_infer.retrieval.ready import Retrieved
from pyrec_infer.retrieval.retriever import Retriever
from pyrec_infer.retrieval.shared import SharedRetriever, VectorParts, Vectors

__all__ = ["Retrieved", "Retriever", "SharedRetriever", "VectorParts", "Vectors"]
