"""ONNX files to IR graphs; the only part of the package that uses the onnx package and knows protobuf."""

from pyrec_infer.formats.onnx.convert import read_onnx
from pyrec_infer.formats.onnx.fallback import fallback_model
from pyrec_infer.formats.onnx.files import is_onnx
from pyrec_infer.formats.source import Format

ONNX = Format("ONNX", is_onnx, read_onnx)

__all__ = ["ONNX", "fallback_model"]
