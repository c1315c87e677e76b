"""Files: how they are read without trusting them, and what they are by their content."""

from pyrec_infer.formats.identify import describe_content, describe_folder, describe_object
from pyrec_infer.formats.reading import ExternalFiles, read_file

__all__ = ["ExternalFiles", "describe_content", "describe_folder", "describe_object", "read_file"]
