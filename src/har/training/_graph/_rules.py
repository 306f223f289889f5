"""How single torch operations and layers are written in ONNX (opset 18).

A rule gets the builder and the arguments of the torch call, by the same names; it emits nodes and returns the name of
the result. Arguments that a rule does not take, and cases that it refuses, are left to torch's exporter.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from har.training._graph._builder import Builder, UntranslatableError

Rule = Callable[..., Any]


def _binary(kind: str) -> Rule:
    def rule(builder: Builder, left: Any, right: Any) -> str:
        sides = [float(side) if isinstance(side, int) else side for side in (left, right)]
        return builder.emit(kind, *sides)

    return rule


def _unary(kind: str) -> Rule:
    def rule(builder: Builder, value: str, inplace: bool = False) -> str:
        return builder.emit(kind, value)

    return rule


def _reduce(kind: str) -> Rule:
    def rule(builder: Builder, value: str, dim: Any, keepdim: bool = False) -> str:
        axes = [dim] if isinstance(dim, int) else list(dim)
        return builder.emit(kind, value, axes, keepdims=int(keepdim))

    return rule


def _transpose(builder: Builder, value: str, dim0: int, dim1: int) -> str:
    order = list(range(builder.ranks[value]))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return builder.emit("Transpose", value, perm=order)


def _permute(builder: Builder, value: str, *dims: Any) -> str:
    order = list(dims[0]) if len(dims) == 1 else list(dims)
    return builder.emit("Transpose", value, perm=[axis % builder.ranks[value] for axis in order])


def _clamp(builder: Builder, value: str, min: float, max: float) -> str:
    return builder.emit("Clip", value, float(min), float(max))


def _narrow(builder: Builder, value: str, dim: int, start: int, length: int) -> str:
    return builder.emit("Slice", value, [start], [start + length], [dim])


def _flatten(builder: Builder, value: str, start_dim: int) -> str:
    if start_dim != 1:
        raise UntranslatableError(f"flatten from axis {start_dim}")
    return builder.emit("Flatten", value, axis=1)


def _reshape(builder: Builder, value: str, *shape: Any) -> str:
    sizes = list(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else list(shape)
    if sizes[0] != -1 or any(not isinstance(size, int) or size < 1 for size in sizes[1:]):
        raise UntranslatableError(f"reshape to {tuple(sizes)}: only the first axis may depend on the batch")
    return builder.emit("Reshape", value, sizes)


def _addmm(builder: Builder, bias: Any, left: Any, right: Any) -> str:
    return builder.emit("Gemm", left, right, bias)


def _concatenate(builder: Builder, tensors: Any, dim: int) -> str:
    return builder.emit("Concat", *tensors, axis=dim)


def _softmax(builder: Builder, value: str, dim: int) -> str:
    return builder.emit("Softmax", value, axis=dim)


def _unsqueeze(builder: Builder, value: str, dim: int) -> str:
    return builder.emit("Unsqueeze", value, [dim])


def _squeeze(builder: Builder, value: str, dim: int) -> str:
    return builder.emit("Squeeze", value, [dim])


def _dropout(builder: Builder, value: str, p: float = 0.5, training: bool = True, inplace: bool = False) -> str:
    if training:
        raise UntranslatableError("dropout that is active in evaluation")
    return value


def _gelu(builder: Builder, value: str, approximate: str = "none") -> str:
    if approximate != "none":
        raise UntranslatableError(f"gelu with approximate={approximate!r}")
    share = builder.emit("Add", builder.emit("Erf", builder.emit("Mul", value, 1 / math.sqrt(2))), 1.0)
    return builder.emit("Mul", builder.emit("Mul", value, 0.5), share)


def _item(builder: Builder, value: Any, index: Any) -> Any:
    """`value[index]`: of a tuple that a layer returned, or integers and plain slices of a tensor."""
    if isinstance(value, tuple):
        return value[index]
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (builder.ranks[value] - len(parts) + 1)
    axis = 0
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, int | slice):
            raise UntranslatableError(f"an index {part!r}")
        if isinstance(part, int):
            value = builder.emit("Squeeze", builder.emit("Gather", value, [part], axis=axis), [axis])
            continue
        if part != slice(None):
            value = _slice(builder, value, part, axis)
        axis += 1
    return value


def _slice(builder: Builder, value: str, part: slice, axis: int) -> str:
    start, stop, step = part.start or 0, part.stop, part.step or 1
    stop = torch.iinfo(torch.int64).max if stop is None else stop
    if any(not isinstance(one, int) for one in (start, stop, step)):
        raise UntranslatableError(f"an index {part!r}")
    return builder.emit("Slice", value, [start], [stop], [axis], [step])


def _linear(builder: Builder, layer: nn.Linear, value: str) -> str:
    weight = layer.weight.detach().T.contiguous()
    if builder.ranks[value] == 2:
        return builder.emit("Gemm", value, weight, *_bias(layer))
    product = builder.emit("MatMul", value, weight)
    return product if layer.bias is None else builder.emit("Add", product, layer.bias)


def _convolution(builder: Builder, layer: nn.Conv1d, value: str) -> str:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise UntranslatableError(f"Conv1d with padding {layer.padding!r} and padding mode {layer.padding_mode!r}")
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


def _batch_norm(builder: Builder, layer: nn.BatchNorm1d, value: str) -> str:
    statistics = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    if any(value is None for value in statistics):
        raise UntranslatableError("BatchNorm1d without weights or without running statistics")
    return builder.emit("BatchNormalization", value, *statistics, epsilon=layer.eps)


def _layer_norm(builder: Builder, layer: nn.LayerNorm, value: str) -> str:
    weight = torch.ones(layer.normalized_shape) if layer.weight is None else layer.weight
    bias = () if layer.bias is None else (layer.bias,)
    axis = -len(layer.normalized_shape)
    return builder.emit("LayerNormalization", value, weight, *bias, axis=axis, epsilon=layer.eps)


def _max_pool(builder: Builder, layer: nn.MaxPool1d, value: str) -> str:
    if layer.return_indices:
        raise UntranslatableError("MaxPool1d with indices")
    kernel, stride, padding, dilation = (
        one if isinstance(one, int) else one[0]
        for one in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    return builder.emit(
        "MaxPool",
        value,
        kernel_shape=[kernel],
        strides=[stride],
        pads=[padding, padding],
        dilations=[dilation],
        ceil_mode=int(layer.ceil_mode),
    )


def _recurrent(kind: str, gates: tuple[int, ...], **attributes: Any) -> Rule:
    """A rule for nn.LSTM and nn.GRU.

    Args:
        kind: of the ONNX node.
        gates: for each gate in ONNX's order, its place in torch's.
        attributes: of the ONNX node.
    """

    def rule(builder: Builder, layer: nn.LSTM | nn.GRU, value: str) -> tuple[Any, ...]:
        if not layer.batch_first or layer.proj_size:
            raise UntranslatableError(f"{kind} without batch_first=True, or with proj_size")
        sequence = builder.emit("Transpose", value, perm=[1, 0, 2])
        last: list[tuple[str, ...]] = []
        for level in range(layer.num_layers):
            output, *states = builder.emit_all(
                kind,
                sequence,
                *_recurrent_weights(layer, level, gates),
                outputs=3 if kind == "LSTM" else 2,
                hidden_size=layer.hidden_size,
                direction="bidirectional" if layer.bidirectional else "forward",
                **attributes,
            )
            last.append(tuple(states))
            # (T, directions, N, H) to (T, N, directions · H)
            sequence = builder.emit("Reshape", builder.emit("Transpose", output, perm=[0, 2, 1, 3]), [0, 0, -1])
        states = [
            level[0] if len(last) == 1 else builder.emit("Concat", *level, axis=0) for level in zip(*last, strict=True)
        ]
        return builder.emit("Transpose", sequence, perm=[1, 0, 2]), tuple(states) if kind == "LSTM" else states[0]

    return rule


def _recurrent_weights(layer: nn.LSTM | nn.GRU, level: int, gates: tuple[int, ...]) -> list[torch.Tensor]:
    """W (directions, gates · H, C), R (directions, gates · H, H) and, with biases, B (directions, 2 · gates · H)."""

    def ordered(name: str) -> torch.Tensor:
        parts = getattr(layer, name).detach().chunk(len(gates))
        return torch.cat([parts[gate] for gate in gates])

    directions = [f"l{level}", f"l{level}_reverse"][: 2 if layer.bidirectional else 1]
    weights = [torch.stack([ordered(f"weight_{part}_{suffix}") for suffix in directions]) for part in ("ih", "hh")]
    if layer.bias:
        both = [torch.cat([ordered(f"bias_{part}_{suffix}") for part in ("ih", "hh")]) for suffix in directions]
        weights.append(torch.stack(both))
    return weights


LAYERS: dict[type[nn.Module], Rule] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.BatchNorm1d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.MaxPool1d: _max_pool,
    nn.LSTM: _recurrent("LSTM", gates=(0, 3, 1, 2)),
    # torch applies the reset gate after the recurrent product.
    nn.GRU: _recurrent("GRU", gates=(1, 0, 2), linear_before_reset=1),
    nn.ReLU: lambda builder, layer, value: builder.emit("Relu", value),
    nn.Sigmoid: lambda builder, layer, value: builder.emit("Sigmoid", value),
    nn.Tanh: lambda builder, layer, value: builder.emit("Tanh", value),
    nn.GELU: lambda builder, layer, value: _gelu(builder, value, layer.approximate),
    nn.Dropout: lambda builder, layer, value: value,
    nn.Dropout1d: lambda builder, layer, value: value,
    nn.Identity: lambda builder, layer, value: value,
}

OPERATIONS: dict[str, Rule] = {
    operator.add.__name__: _binary("Add"),
    operator.sub.__name__: _binary("Sub"),
    operator.mul.__name__: _binary("Mul"),
    operator.truediv.__name__: _binary("Div"),
    operator.getitem.__name__: _item,
    "matmul": _binary("MatMul"),
    "transpose": _transpose,
    "permute": _permute,
    "mean": _reduce("ReduceMean"),
    "sum": _reduce("ReduceSum"),
    "amin": _reduce("ReduceMin"),
    "amax": _reduce("ReduceMax"),
    "sqrt": _unary("Sqrt"),
    "log": _unary("Log"),
    "abs": _unary("Abs"),
    "relu": _unary("Relu"),
    "sigmoid": _unary("Sigmoid"),
    "tanh": _unary("Tanh"),
    "gelu": _gelu,
    "dropout": _dropout,
    "clamp": _clamp,
    "narrow": _narrow,
    "flatten": _flatten,
    "reshape": _reshape,
    "addmm": _addmm,
    "cat": _concatenate,
    "softmax": _softmax,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
}
