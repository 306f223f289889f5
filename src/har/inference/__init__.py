"""`model.onnx` in, probabilities and named features out; needs numpy and onnxruntime, nothing else."""

from har.inference._classifier import Classifier, Prediction, granted_cores
from har.inference._metadata import ModelMetadata

__all__ = ["Classifier", "ModelMetadata", "Prediction", "granted_cores"]
