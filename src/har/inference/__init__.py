"""`model.onnx` in, probabilities and named features out; needs numpy and onnxruntime, nothing else."""

from har.inference._classifier import Classifier, Prediction
from har.inference._metadata import ModelMetadata

__all__ = ["Classifier", "ModelMetadata", "Prediction"]
