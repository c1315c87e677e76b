"""Recommendation models on CPUs: ONNX in, scores for very many candidates out.

Examples
--------
>>> import pyrec_infer as pi
>>> from pyrec_infer.bundled import MODEL, items, users
>>> model = pi.load(MODEL)
>>> user, shop = users(1, 1000)[0], items(1000)
>>> best = model.top_k(user.request, {**shop, "affinity": user.affinity}, k=3)
>>> best.count
3
"""

from pyrec_infer.backends.select import check_installed as _check_installed

_check_installed()

from pyrec_infer.api import load, load_catalog, score, verify  # noqa: E402
from pyrec_infer.backends.select import available_backends  # noqa: E402
from pyrec_infer.candidates import (  # noqa: E402
    FactorRecommender,
    ItemItemRecommender,
    KeyedVectors,
    LeastSquares,
    PopularItems,
    Recommended,
    from_gensim,
    from_implicit,
    from_lightfm,
    read_word2vec,
)
from pyrec_infer.catalog import Catalog, CatalogCall  # noqa: E402
from pyrec_infer.errors import (  # noqa: E402
    BackendError,
    DTypeError,
    IdRangeError,
    InputError,
    MissingInputError,
    ModelError,
    PyrecError,
    ResourceLimitError,
    RowCountError,
    SaveError,
    SchemaError,
    ShapeError,
    UncoveredSchemaWarning,
    UnexpectedInputError,
    UnsupportedModelError,
)
from pyrec_infer.execution.calls import PreparedCall  # noqa: E402
from pyrec_infer.fingerprints import (  # noqa: E402
    cross_fingerprint,
    cross_to_bucket,
    fingerprint,
    hash_to_bucket,
)
from pyrec_infer.model import Model  # noqa: E402
from pyrec_infer.pipeline import Pipeline, Recommendations, Source  # noqa: E402
from pyrec_infer.precision import PrecisionReport  # noqa: E402
from pyrec_infer.retrieval import Retrieved, Retriever, Vectors  # noqa: E402
from pyrec_infer.schema import Schema  # noqa: E402
from pyrec_infer.schema.checking import FeatureReport, check_features  # noqa: E402
from pyrec_infer.schema.recording import record_golden  # noqa: E402
from pyrec_infer.selection import DPP, MMR, Filter  # noqa: E402
from pyrec_infer.tensor_info import TensorInfo  # noqa: E402
from pyrec_infer.top_k import Ranked, TopK  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "DPP",
    "MMR",
    "BackendError",
    "Catalog",
    "CatalogCall",
    "DTypeError",
    "FactorRecommender",
    "FeatureReport",
    "Filter",
    "IdRangeError",
    "InputError",
    "ItemItemRecommender",
    "KeyedVectors",
    "LeastSquares",
    "MissingInputError",
    "Model",
    "ModelError",
    "Pipeline",
    "PopularItems",
    "PrecisionReport",
    "PreparedCall",
    "PyrecError",
    "Ranked",
    "Recommendations",
    "Recommended",
    "ResourceLimitError",
    "Retrieved",
    "Retriever",
    "RowCountError",
    "SaveError",
    "Schema",
    "SchemaError",
    "ShapeError",
    "Source",
    "TensorInfo",
    "TopK",
    "UncoveredSchemaWarning",
    "UnexpectedInputError",
    "UnsupportedModelError",
    "Vectors",
    "available_backends",
    "check_features",
    "cross_fingerprint",
    "cross_to_bucket",
    "fingerprint",
    "from_gensim",
    "from_implicit",
    "from_lightfm",
    "hash_to_bucket",
    "load",
    "load_catalog",
    "read_word2vec",
    "record_golden",
    "score",
    "verify",
]
