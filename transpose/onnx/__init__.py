"""Localization without PyTorch: what `transpose export RUN --to onnx` wrote, run by NumPy and onnxruntime alone.

import transpose.onnx
localizer = transpose.onnx.load("kitchen-onnx")
estimate = localizer.localize(image_hw3, focal_px=525.0)
"""

from transpose.onnx.localizer import OnnxEstimate, OnnxLocalizer, load

__all__ = ["OnnxEstimate", "OnnxLocalizer", "load"]
