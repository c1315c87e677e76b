"""ONNX files to IR graphs; the only part of the package that uses the onnx package."""

from pyrec_infer.importer.convert import Imported, import_model
from pyrec_infer.importer.fallback import fallback_model
from pyrec_infer.importer.files import read_model
from pyrec_infer.importer.objects import model_source

__all__ = ["Imported", "fallback_model", "import_model", "model_source", "read_model"]
