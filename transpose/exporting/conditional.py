"""Graphs that compute some of their outputs only when they are asked to, by ONNX's `If`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def computed_when_asked(model: Any, always: Sequence[str], asked: Sequence[str], flag: str) -> None:
    """Moves what `asked` outputs alone need into a branch; without, they are empty.

    A runtime computes all outputs of a graph, also those that nobody reads.

    Args:
        model: ONNX ModelProto, changed in place.
        always: outputs that are computed always.
        asked: the other outputs.
        flag: name of the input, a bool without dimensions, that asks for them.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    kept = _needed(graph, always)
    branch = [node for index, node in enumerate(graph.node) if index not in kept]
    trunk = [node for index, node in enumerate(graph.node) if index in kept]
    inner = {name: f"{name}/asked" for name in asked}  # names inside a branch must be new
    for node in branch:
        node.input[:] = [inner.get(name, name) for name in node.input]
        node.output[:] = [inner.get(name, name) for name in node.output]
    infos = [info for info in graph.output if info.name in inner]
    then_infos, else_infos, empties = [], [], []
    for info in infos:
        shape = [dim.dim_value if dim.HasField("dim_value") else None for dim in info.type.tensor_type.shape.dim]
        kind = info.type.tensor_type.elem_type
        empty = np.zeros([size or 0 for size in shape], helper.tensor_dtype_to_np_dtype(kind))
        empties.append(helper.make_node("Constant", [], [f"{info.name}/empty"], value=numpy_helper.from_array(empty)))
        then_infos.append(helper.make_tensor_value_info(inner[info.name], kind, [None] * len(shape)))
        else_infos.append(helper.make_tensor_value_info(f"{info.name}/empty", kind, [None] * len(shape)))
    choice = helper.make_node(
        "If",
        [flag],
        [info.name for info in infos],
        then_branch=helper.make_graph(branch, "asked", [], then_infos),
        else_branch=helper.make_graph(empties, "not_asked", [], else_infos),
    )
    del graph.node[:]
    graph.node.extend([*trunk, choice])
    graph.input.append(helper.make_tensor_value_info(flag, TensorProto.BOOL, []))


def _needed(graph: Any, outputs: Sequence[str]) -> set[int]:
    """Numbers of the nodes that outputs rest on."""
    maker = {name: index for index, node in enumerate(graph.node) for name in node.output}
    waiting, found = list(outputs), set[int]()
    while waiting:
        index = maker.get(waiting.pop())
        if index is not None and index not in found:
            found.add(index)
            waiting.extend(graph.node[index].input)
    return found
