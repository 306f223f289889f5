"""A network's logits as an ONNX graph, written by torch's own exporter: slow, but it knows almost every operation."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from onnx import inliner
from torch import Tensor, nn

from har.errors import TrainingError
from har.training.networks import Network


class Logits(nn.Module):
    """A network's `logits` as a module of its own, from windows (N, T, C) and descriptors (N, F)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, window: Tensor, features: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.network.logits(window, features)


def export_logits(logits: Logits, opset: int) -> onnx.GraphProto:
    """The graph from `window` and `features` to the logits, for any batch.

    Raises:
        TrainingError: torch cannot export it, or its exporter is not installed.
    """
    module = Logits(copy.deepcopy(logits.network).cpu()).eval()
    describe = module.network.describe
    example = torch.zeros(2, describe.length, describe.channels), torch.zeros(2, len(describe.names))
    try:
        with _quiet():
            program = torch.onnx.export(
                _recorded(module, example),
                input_names=["window", "features"],
                output_names=["logits"],
                opset_version=opset,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except ImportError as error:
        raise _refused(str(error), "Install it: pip install 'har-mlops[train]' brings onnxscript.") from error
    except Exception as error:  # torch raises several unrelated classes; all of them mean the same here
        cause = error.__cause__ or error
        raise _refused(
            f"{type(cause).__name__}: {_reason(cause)}", "Write `logits` without it, and for any batch."
        ) from error
    if program is None:
        raise _refused("no model", "Write the network with other operations.")
    return _cleaned(program.model_proto).graph


def _recorded(module: Logits, example: tuple[Tensor, Tensor]) -> torch.export.ExportedProgram:
    """The module's operations for any batch, as `torch.export` records them.

    Left to itself, torch's ONNX exporter takes a batch that the code fixes (`len(window)`) for a constant without a
    word; the strict recorder reads the code instead of running it, and keeps such a batch free.
    """
    batch = torch.export.Dim("n")
    shapes = ({0: batch}, {0: batch})
    try:
        return torch.export.export(module, example, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # noqa: BLE001  of several unrelated classes; the strict recorder has the last word
        try:
            return torch.export.export(module, example, dynamic_shapes=shapes, strict=True)
        except Exception:  # noqa: BLE001  the first error names the line in the network's own code
            raise error from None


def _cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without local functions, and without the stack traces and paths that torch writes into it."""
    model = inliner.inline_local_functions(model)
    graph = model.graph
    for part in (*graph.input, *graph.output, *graph.node, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise _refused(f"{node.domain}.{node.op_type}", "Write the network with other operations.")
        if node.op_type == "GRU":
            # torch applies the reset gate after the recurrent product; its exporter (2.13) writes 0 all the same.
            others = [one for one in node.attribute if one.name != "linear_before_reset"]
            del node.attribute[:]
            node.attribute.extend([*others, onnx.helper.make_attribute("linear_before_reset", 1)])
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings about torch's own internals; what goes wrong is raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch._guards", "torch._dynamo", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """The line of torch's message that says what is wrong: an item of its list, or else its first one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    items = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    return next(iter(items or lines), "no message")


def _refused(got: str, remedy: str) -> TrainingError:
    return TrainingError(
        where="export by torch.onnx", expected="a network that torch can export", got=got, remedy=remedy
    )
