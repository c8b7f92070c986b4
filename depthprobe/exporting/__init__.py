"""A trained network leaves depthprobe: weights, one readable Python file, ONNX."""

from depthprobe.exporting.code import Generated, export_code
from depthprobe.exporting.files import FORMATS, write_export

__all__ = ["FORMATS", "Generated", "export_code", "write_export"]
