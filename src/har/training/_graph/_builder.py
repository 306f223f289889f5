"""Collects the nodes and constants of an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import compose, helper, numpy_helper

from har.errors import TrainingError


class UntranslatableError(TrainingError):
    """An operation, or its arguments, for which there is no rule."""

    def __init__(self, operation: str) -> None:
        super().__init__(
            where="export",
            expected="operations with an ONNX translation",
            got=operation,
            remedy="Write the network with other operations, or add a rule to har.training._graph._rules.",
        )


class Builder:
    """Nodes and constants; a value is a tensor that is known now, or the name of one that the graph computes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.ranks: dict[str, int] = {}
        self._constants: dict[bytes, str] = {}

    def emit(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        """Add a node with one output; returns the output's name."""
        return self.emit_all(kind, *inputs, outputs=1, **attributes)[0]

    def emit_all(self, kind: str, *inputs: Any, outputs: int, **attributes: Any) -> tuple[str, ...]:
        """Add a node; returns the names of its outputs."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        names = (name, *(f"{name}_{number}" for number in range(1, outputs)))
        operands = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(kind, operands, names, name=name, **attributes))
        return names

    def constant(self, value: Any) -> str:
        """A tensor in the file; equal ones are stored once. Python integers are shapes, axes and indices.

        A single number is stored with one axis.
        """
        if isinstance(value, torch.Tensor):
            array: NDArray[Any] = value.detach().cpu().numpy()
        else:
            array = np.asarray(value, np.float32 if isinstance(value, float) else np.int64)
        key = repr((array.dtype, array.shape)).encode() + array.tobytes()
        if key not in self._constants:
            self._constants[key] = f"constant_{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), self._constants[key]))
        return self._constants[key]

    def inline(self, graph: onnx.GraphProto, inputs: Mapping[str, str], prefix: str) -> str:
        """Add all nodes of another graph with one output; returns the output's name.

        Args:
            graph: the other graph.
            inputs: value of this graph for each input of the other.
            prefix: of the names that come from the other graph.
        """
        copied = compose.add_prefix_graph(graph, prefix)
        for value in copied.input:
            name = value.name.removeprefix(prefix)
            self.nodes.append(helper.make_node("Identity", [inputs[name]], [value.name], name=value.name))
        self.nodes.extend(copied.node)
        self.initializers.extend(copied.initializer)
        output: str = copied.output[0].name
        return output

    def rename(self, names: Mapping[str, str]) -> None:
        """Give values other names."""
        for node in self.nodes:
            for values in (node.input, node.output):
                values[:] = [names.get(value, value) for value in values]
