"""Windows in, a trained network and its `model.onnx` out; nothing else in the library imports torch."""

from har.training._alone import alone
from har.training._descriptors import feature_names
from har.training._export import check_parity, export
from har.training._fit import fit
from har.training._fitted import EpochReport, FitOptions, Fitted
from har.training._novelty import Novelty, learn_novelty
from har.training._runs import learn_runs
from har.training._signal import Signal

__all__ = [
    "EpochReport",
    "FitOptions",
    "Fitted",
    "Novelty",
    "Signal",
    "alone",
    "check_parity",
    "export",
    "feature_names",
    "fit",
    "learn_novelty",
    "learn_runs",
]
