"""Windows in, a fitted network and its `model.onnx` out; torch lives here, and only here."""

from har.training._descriptors import feature_names
from har.training._export import check_parity, export
from har.training._fit import EpochReport, Fitted, fit
from har.training._signal import Signal

__all__ = ["EpochReport", "Fitted", "Signal", "check_parity", "export", "feature_names", "fit"]
