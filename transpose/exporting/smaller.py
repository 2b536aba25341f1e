"""Smaller graphs: weights kept in half precision, and convolutions in eight bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_FEWEST = 512  # numbers in a tensor below which nothing is gained
# World points, and the layers that say where in the place or in a pixel something is.
_EXACT = ("points_k3", "anchors_k3", "head.last", "head.fc3", "keypoint_head")
_CONVOLUTIONS = "encoder"
_NOT_QUANTIZED = ("keypoint_head", "heatmap_head")


def halve_weights(model: Any) -> None:
    """Keeps weights as float16, which a runtime turns into float32 as it loads the graph, changed in place.

    Arithmetic stays float32: processors compute convolutions in float16 more slowly or not at all.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        exact = any(each in tensor.name for each in _EXACT)
        if tensor.data_type != TensorProto.FLOAT or exact or int(np.prod(tensor.dims)) < _FEWEST:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name, half = tensor.name, f"{tensor.name}/half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])


def quantize(path: Path, images: Sequence[np.ndarray]) -> None:
    """Brings the encoder's convolutions of a graph file to eight bits, ranges taken from what images give.

    Those that say where keypoints are stay as they are, and so does the head, whose numbers are metres.

    Args:
        path: of the ONNX file, replaced.
        images: RGB uint8 (height, width, 3) such as the place shows.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[np.ndarray] = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._left, None)
            return None if image is None else {"image_hw3": image}

    convolutions = [
        node.name
        for node in onnx.load(path).graph.node
        if node.op_type == "Conv" and _CONVOLUTIONS in node.name and not any(e in node.name for e in _NOT_QUANTIZED)
    ]
    quantized = path.with_name(f"{path.name}.int8")
    quantize_static(
        str(path),
        str(quantized),
        Images(),
        quant_format=QuantFormat.QDQ,
        nodes_to_quantize=convolutions,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    quantized.replace(path)
