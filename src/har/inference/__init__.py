"""Predict with an exported model: `Classifier` returns probabilities and features. Needs only numpy and onnxruntime."""

from har.inference._classifier import Classifier, Prediction, granted_cores
from har.inference._metadata import ModelMetadata
from har.inference._package import Package
from har.inference._rule import MagnitudeRule

__all__ = ["Classifier", "MagnitudeRule", "ModelMetadata", "Package", "Prediction", "granted_cores"]
