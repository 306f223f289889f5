"""A torch network in, the same formulas as an ONNX graph out.

torch's own exporters take 13 s for a first file or are deprecated, and neither lets the graph be laid out for speed.
The networks use few operations, so they are traced with torch.fx and translated one by one; an operation that has no
translation here is refused by name, and the parity check of `export` compares every file with torch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn

from har.errors import TrainingError

OPSET = 18
IR_VERSION = 10


def translate(module: nn.Module, *, length: int, channels: int, outputs: dict[str, int]) -> onnx.ModelProto:
    """The ONNX model of a network in evaluation mode.

    Args:
        module: takes `window` (N, length, channels), gives a tuple in the order of `outputs`.
        length: T.
        channels: C.
        outputs: name and width of each output (N, width).

    Raises:
        TrainingError: an operation that has no translation.
    """
    traced = fx.symbolic_trace(module.eval())
    # What depends on weights only (a reshaped or averaged weight) becomes a constant of the file.
    builder = _Builder(traced)
    for node in traced.graph.nodes:
        builder.visit(node)
    builder.finish(list(outputs))
    graph = helper.make_graph(
        builder.nodes,
        "har",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["n", length, channels])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name, width in outputs.items()],
        builder.initializers,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="har", ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return model


class _Builder:
    """Translates node by node; a value is a tensor known now, or the name of one known when the graph runs."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.modules = dict(traced.named_modules())
        self.tensors = {**dict(traced.named_parameters()), **dict(traced.named_buffers())}
        self.values: dict[fx.Node, Any] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.known: dict[bytes, str] = {}

    def visit(self, node: fx.Node) -> None:
        args = fx.map_arg(node.args, self.values.__getitem__)
        kwargs = fx.map_arg(node.kwargs, self.values.__getitem__)
        self.values[node] = self._value(node, args, kwargs)

    def _value(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        if node.op == "placeholder":
            return "window"
        if node.op == "output":
            return args[0]
        if node.op == "get_attr":
            return self.tensors[str(node.target)].detach()
        if node.op == "call_module":
            layer = self.modules[str(node.target)]
            rule: Callable[..., str] | None = _LAYERS.get(type(layer))
            if rule is not None:
                return rule(self, layer, *args)
        elif all(not isinstance(value, str) for value in _flat(args)):
            return _now(node, args, kwargs)
        else:
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
            rule = _OPERATIONS.get(name)
            if rule is not None:
                return rule(self, *args, **kwargs)
        raise _unknown(f"{node.op} {node.target}")

    def emit(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        """Add a node; gives the name of its output."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        operands = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(kind, operands, [name], name=name, **attributes))
        return name

    def constant(self, value: Any) -> str:
        """A tensor inside the file; equal ones are stored once. Python integers mean shapes and axes."""
        if isinstance(value, torch.Tensor):
            array: NDArray[Any] = value.detach().cpu().numpy()
        else:
            array = np.asarray(value, np.float32 if isinstance(value, float) else np.int64)
        key = repr((array.dtype, array.shape)).encode() + array.tobytes()
        if key not in self.known:
            self.known[key] = f"constant_{len(self.known)}"
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), self.known[key]))
        return self.known[key]

    def finish(self, names: list[str]) -> None:
        """Give the last node's values their public names."""
        results = next(reversed(self.values.values()))
        renamed = dict(zip(results, names, strict=True))
        for node in self.nodes:
            for values in (node.input, node.output):
                values[:] = [renamed.get(value, value) for value in values]


def _unknown(operation: str) -> TrainingError:
    return TrainingError(
        where="export",
        expected="operations with an ONNX translation",
        got=operation,
        remedy="Add it to har.training._graph, or write the network without it.",
    )


def _flat(args: Any) -> list[Any]:
    return [leaf for arg in args for leaf in (_flat(arg) if isinstance(arg, tuple | list) else [arg])]


def _now(node: fx.Node, args: Any, kwargs: Any) -> Any:
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    call: Callable[..., Any] = node.target  # type: ignore[assignment]
    return call(*args, **kwargs)


def _binary(kind: str) -> Callable[..., str]:
    def rule(builder: _Builder, left: Any, right: Any) -> str:
        sides = [float(side) if isinstance(side, int) else side for side in (left, right)]
        return builder.emit(kind, *sides)

    return rule


def _unary(kind: str) -> Callable[..., str]:
    return lambda builder, value: builder.emit(kind, value)


def _reduce(kind: str) -> Callable[..., str]:
    def rule(builder: _Builder, value: str, dim: int, keepdim: bool = False) -> str:
        return builder.emit(kind, value, [dim], keepdims=int(keepdim))

    return rule


def _transpose(builder: _Builder, value: str, first: int, second: int) -> str:
    order = [0, 1, 2]
    order[first], order[second] = order[second], order[first]
    return builder.emit("Transpose", value, perm=order)


def _clamp(builder: _Builder, value: str, least: float, most: float) -> str:
    return builder.emit("Clip", value, least, most)


def _narrow(builder: _Builder, value: str, dim: int, start: int, length: int) -> str:
    return builder.emit("Slice", value, [start], [start + length], [dim])


def _flatten(builder: _Builder, value: str, start: int) -> str:
    return builder.emit("Flatten", value, axis=start)


def _cat(builder: _Builder, values: Any, dim: int) -> str:
    return builder.emit("Concat", *values, axis=dim)


def _softmax(builder: _Builder, value: str, dim: int) -> str:
    return builder.emit("Softmax", value, axis=dim)


def _unsqueeze(builder: _Builder, value: str, dim: int) -> str:
    return builder.emit("Unsqueeze", value, [dim])


def _linear(builder: _Builder, layer: nn.Linear, value: str) -> str:
    return builder.emit("Gemm", value, layer.weight.detach().T.contiguous(), *_bias(layer))


def _convolution(builder: _Builder, layer: nn.Conv1d, value: str) -> str:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise _unknown(f"Conv1d with padding {layer.padding!r} and padding mode {layer.padding_mode!r}")
    padding = layer.padding[0]
    return builder.emit(
        "Conv",
        value,
        layer.weight,
        *_bias(layer),
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        dilations=list(layer.dilation),
        pads=[padding, padding],
        group=layer.groups,
    )


def _bias(layer: nn.Linear | nn.Conv1d) -> tuple[torch.Tensor, ...]:
    return () if layer.bias is None else (layer.bias,)


def _batch_norm(builder: _Builder, layer: nn.BatchNorm1d, value: str) -> str:
    statistics = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    if any(value is None for value in statistics):
        raise _unknown("BatchNorm1d without weights or without running statistics")
    return builder.emit("BatchNormalization", value, *statistics, epsilon=layer.eps)


_LAYERS: dict[type[nn.Module], Callable[..., str]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.BatchNorm1d: _batch_norm,
    nn.ReLU: lambda builder, layer, value: builder.emit("Relu", value),
}

_OPERATIONS: dict[str, Callable[..., str]] = {
    operator.add.__name__: _binary("Add"),
    operator.sub.__name__: _binary("Sub"),
    operator.mul.__name__: _binary("Mul"),
    operator.truediv.__name__: _binary("Div"),
    "matmul": _binary("MatMul"),
    "transpose": _transpose,
    "mean": _reduce("ReduceMean"),
    "sum": _reduce("ReduceSum"),
    "amin": _reduce("ReduceMin"),
    "amax": _reduce("ReduceMax"),
    "sqrt": _unary("Sqrt"),
    "log": _unary("Log"),
    "abs": _unary("Abs"),
    "relu": _unary("Relu"),
    "sigmoid": _unary("Sigmoid"),
    "clamp": _clamp,
    "narrow": _narrow,
    "flatten": _flatten,
    "cat": _cat,
    "softmax": _softmax,
    "unsqueeze": _unsqueeze,
}
