"""The graph by which `transpose.onnx.similar` finds the most similar descriptors."""

from __future__ import annotations

from typing import Any

import numpy as np

from transpose.onnx.similar import GROUP


def similarity_graph(opset: int, ir_version: int) -> Any:
    """ONNX ModelProto: of rows `query_nc` and `among_sc`, the largest product in each group of the latter, (n, s / g).

    Args:
        opset: of ONNX.
        ir_version: of the file, that of the network's graph: runtimes read both or none.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gemm", ["query_nc", "among_sc"], ["similarity_ns"], transB=1),
        helper.make_node("Reshape", ["similarity_ns", "groups"], ["similarity_nkg"]),
        helper.make_node("ReduceMax", ["similarity_nkg", "last"], ["largest_nk"], keepdims=0),
    ]
    constants = {"groups": np.array([0, -1, GROUP]), "last": np.array([2])}
    rows = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None])
        for name in ("query_nc", "among_sc", "largest_nk")
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "similarity", rows[:2], rows[2:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
