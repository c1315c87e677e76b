"""Files: how they are read without trusting them, what they are by their content, and the graphs in them.

`registry.FORMATS` lists the kinds of files that hold a model.
"""

from pyrec_infer.formats.identify import describe_content
from pyrec_infer.formats.objects import model_source
from pyrec_infer.formats.onnx import fallback_model
from pyrec_infer.formats.origin import Origin
from pyrec_infer.formats.pyrec import CATALOGUE, ITEMS, packed_model, save_model
from pyrec_infer.formats.registry import FORMATS, import_model
from pyrec_infer.formats.source import Format, Imported, Options, Source
from pyrec_infer.formats.tensors import verify_file

__all__ = [
    "CATALOGUE",
    "FORMATS",
    "ITEMS",
    "Format",
    "Imported",
    "Options",
    "Origin",
    "Source",
    "describe_content",
    "fallback_model",
    "import_model",
    "model_source",
    "packed_model",
    "save_model",
    "verify_file",
]
