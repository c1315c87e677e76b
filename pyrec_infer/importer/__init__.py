"""ONNX files to IR graphs; the only part of the package that uses the onnx package."""

from pyrec_infer.importer.convert import Imported, import_model
from pyrec_infer.importer.fallback import fallback_model
from pyrec_infer.importer.files import read_model

__all__ = ["Imported", "fallback_model", "import_model", "read_model"]
