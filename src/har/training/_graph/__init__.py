"""A torch network in, an ONNX model out: by rules of this package, or by torch's exporter where there is no rule."""

from har.training._graph._builder import Untranslatable
from har.training._graph._translate import translate, translate_network

__all__ = ["Untranslatable", "translate", "translate_network"]
