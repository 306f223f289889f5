"""A torch network in, an ONNX model out: by rules of this package, or by torch's exporter where there is no rule."""

from har.training._graph._builder import UntranslatableError
from har.training._graph._translate import translate, translate_network

__all__ = ["UntranslatableError", "translate", "translate_network"]
