"""Traces a module with torch.fx and translates node by node.

The descriptors and the common layers have rules, which take no time and lay the graph out for speed. A network with
anything else has its `logits` written by torch's exporter, behind the same descriptors. The parity check of `export`
compares every file with torch either way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from har.training._graph._builder import Builder, UntranslatableError
from har.training._graph._by_torch import Logits, export_logits
from har.training._graph._rules import LAYERS, OPERATIONS, Rule
from har.training.networks import Network

OPSET = 18
IR_VERSION = 10


def translate_network(network: Network, *, length: int, channels: int, outputs: dict[str, int]) -> onnx.ModelProto:
    """The ONNX model of any network in evaluation mode; arguments as for `translate`.

    Raises:
        TrainingError: neither the rules nor torch's exporter can translate it.
    """
    try:
        return translate(network, length=length, channels=channels, outputs=outputs)
    except UntranslatableError:
        return translate(_LogitsApart(network), length=length, channels=channels, outputs=outputs)


def translate(module: nn.Module, *, length: int, channels: int, outputs: dict[str, int]) -> onnx.ModelProto:
    """The ONNX model of a module in evaluation mode, by the rules of this package alone.

    Args:
        module: takes `window` (N, length, channels), gives a tuple in the order of `outputs`.
        length: T.
        channels: C.
        outputs: name and width of each output (N, width).

    Raises:
        UntranslatableError: an operation without a rule, or Python code that cannot be traced.
    """
    traced = _trace(module.eval(), length, channels)
    builder = Builder()
    results = _Translation(traced, builder).run()
    builder.rename(dict(zip(results, outputs, strict=True)))
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
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UntranslatableError(f"a combination that is not valid ONNX ({error})") from error
    return model


class _LogitsApart(nn.Module):
    """A network whose `logits` are one module, to be exported as a whole."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.apart = Logits(network)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.describe(window)
        return self.network.probabilities(self.apart(window, features)), features


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Logits) or super().is_leaf_module(m, module_qualified_name)


def _trace(module: nn.Module, length: int, channels: int) -> fx.GraphModule:
    """The module as a graph whose nodes know the shapes of their values."""
    tracer = _Tracer()
    try:
        traced = fx.GraphModule(module, tracer.trace(module))
    except Exception as error:
        # The module was trained, so it runs: what fails is what torch.fx cannot follow, such as a branch on a value.
        raise UntranslatableError(f"code that cannot be traced ({type(error).__name__}: {error})") from error
    device = next((tensor.device for tensor in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    with torch.no_grad():
        ShapeProp(traced).propagate(torch.zeros(2, length, channels, device=device))
    return traced


class _Translation:
    """Visits the nodes of a traced module in order."""

    def __init__(self, traced: fx.GraphModule, builder: Builder) -> None:
        self.traced, self.builder = traced, builder
        self.modules = dict(traced.named_modules())
        self.tensors = {**dict(traced.named_parameters()), **dict(traced.named_buffers())}
        self.values: dict[fx.Node, Any] = {}

    def run(self) -> tuple[str, ...]:
        """Translate all nodes; returns the names of the module's results."""
        value: Any = ()
        for node in self.traced.graph.nodes:
            args = fx.map_arg(node.args, self.values.__getitem__)
            kwargs = fx.map_arg(node.kwargs, self.values.__getitem__)
            value = self.values[node] = self._value(node, args, kwargs)
            self._note_ranks(value, node.meta.get("tensor_meta"))
        return tuple(value)

    def _value(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        if node.op == "placeholder":
            return "window"
        if node.op == "output":
            return args[0]
        if node.op == "get_attr":
            return self.tensors[str(node.target)].detach()
        if node.op == "call_module":
            layer = self.modules[str(node.target)]
            if isinstance(layer, Logits):
                window, features = args
                graph = export_logits(layer, OPSET)
                return self.builder.inline(graph, {"window": window, "features": features}, "logits/")
            return self._apply(LAYERS.get(type(layer)), type(layer).__name__, (layer, *args), kwargs)
        if all(not isinstance(value, str) for value in _leaves((*args, *kwargs.values()))):
            # What depends on weights only (a reshaped or averaged weight) becomes a constant of the file.
            return _evaluate(node, args, kwargs)
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        return self._apply(OPERATIONS.get(name), name, args, kwargs)

    def _apply(self, rule: Rule | None, name: str, args: Any, kwargs: Any) -> Any:
        if rule is None:
            raise UntranslatableError(name)
        try:
            inspect.signature(rule).bind(self.builder, *args, **kwargs)
        except TypeError as error:
            raise UntranslatableError(f"{name} with these arguments ({error})") from error
        return rule(self.builder, *args, **kwargs)

    def _note_ranks(self, value: Any, meta: Any) -> None:
        """Remember how many axes a value has; `meta` mirrors nested tuples."""
        if isinstance(value, str) and hasattr(meta, "shape"):
            self.builder.ranks[value] = len(meta.shape)
        elif isinstance(value, tuple) and isinstance(meta, tuple | list):
            for part, about in zip(value, meta, strict=True):
                self._note_ranks(part, about)


def _leaves(args: Any) -> list[Any]:
    return [leaf for arg in args for leaf in (_leaves(arg) if isinstance(arg, tuple | list) else [arg])]


def _evaluate(node: fx.Node, args: Any, kwargs: Any) -> Any:
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    call: Callable[..., Any] = node.target  # type: ignore[assignment]
    return call(*args, **kwargs)
