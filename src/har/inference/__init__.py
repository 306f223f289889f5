"""Predict with an exported model: `Classifier` returns probabilities and features. Needs only numpy and onnxruntime.

`answer` says what a window's answer is, wherever it is asked; `Smoother` smooths the answers of consecutive windows.
"""

from har.inference._answers import Answers, answer, answers_of
from har.inference._classifier import DISTANCE, Classifier, Prediction, granted_cores
from har.inference._metadata import SHARES, ModelMetadata, Runs
from har.inference._package import Package
from har.inference._rule import MagnitudeRule
from har.inference._smoothing import Smoother, Smoothing

__all__ = [
    "DISTANCE",
    "SHARES",
    "Answers",
    "Classifier",
    "MagnitudeRule",
    "ModelMetadata",
    "Package",
    "Prediction",
    "Runs",
    "Smoother",
    "Smoothing",
    "answer",
    "answers_of",
    "granted_cores",
]
