"""Files of tensors: safetensors files, with plain data and checksums, read without trusting them."""

from pyrec_infer.formats.tensors.layout import VERSION, is_tensor_file
from pyrec_infer.formats.tensors.packing import Packed, letters_of, unpacked
from pyrec_infer.formats.tensors.plain import members, texts_of, whole_of
from pyrec_infer.formats.tensors.reader import TensorFile, open_tensors
from pyrec_infer.formats.tensors.verifying import verify_file, verify_tensors
from pyrec_infer.formats.tensors.writer import Portions, write_tensors

__all__ = [
    "VERSION",
    "Packed",
    "Portions",
    "TensorFile",
    "is_tensor_file",
    "letters_of",
    "members",
    "open_tensors",
    "texts_of",
    "unpacked",
    "verify_file",
    "verify_tensors",
    "whole_of",
    "write_tensors",
]
