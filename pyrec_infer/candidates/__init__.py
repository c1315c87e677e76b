"""Candidate generation: what other libraries have learned, asked the way they are asked."""

from pyrec_infer.candidates.asked import Recommended
from pyrec_infer.candidates.factors import FactorRecommender, LeastSquares
from pyrec_infer.candidates.keyed import KeyedVectors
from pyrec_infer.candidates.neighbours import ItemItemRecommender
from pyrec_infer.candidates.popular import PopularItems
from pyrec_infer.candidates.sources.implicit import from_implicit
from pyrec_infer.candidates.sources.lightfm import from_lightfm
from pyrec_infer.candidates.sources.word2vec import from_gensim, read_word2vec

__all__ = [
    "FactorRecommender",
    "ItemItemRecommender",
    "KeyedVectors",
    "LeastSquares",
    "PopularItems",
    "Recommended",
    "from_gensim",
    "from_implicit",
    "from_lightfm",
    "read_word2vec",
]
