"""Lay out a model file as a folder that MLflow's tools can serve, without changing its bytes.

`mlflow.onnx.log_model` would rewrite the graph and move its weights to a second file, so the file is copied and
`MLmodel` is written beside it, with the signature and the flavours `onnx` and `python_function`.
"""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from har.errors import ModelError, ModelMismatchError
from har.files import file_sha256
from har.inference import DISTANCE, Classifier, ModelMetadata

FILE_NAME = "model.onnx"
FOLDER = "model"


@dataclass(frozen=True)
class ModelFile:
    """A model file that was loaded and tried, with its SHA-256."""

    path: Path
    metadata: ModelMetadata
    sha256: str

    @classmethod
    def check(cls, path: Path, *, project: str) -> ModelFile:
        """Load `path` and predict one window with it.

        Raises:
            ModelError: the file was not exported by this project's code, or its outputs differ from its metadata.
            ModelMismatchError: the model belongs to another project.
        """
        classifier = Classifier(path, threads=1)
        metadata = classifier.metadata
        if metadata.project != project:
            raise ModelMismatchError(
                where=f"{path}, project",
                expected=repr(project),
                got=repr(metadata.project),
                remedy="Register it in that project, or train a model here: har train.",
            )
        window = np.zeros((1, metadata.length, len(metadata.channels)), np.float32)
        shapes = [output.shape for output in classifier.predict(window)[:2]]
        expected = [(1, len(metadata.activities)), (1, len(metadata.feature_names))]
        if shapes != expected:
            raise ModelError(
                where=str(path),
                expected=f"probabilities and features of shapes {expected}, as its metadata says",
                got=str(shapes),
                remedy="Export the model again with `har train`.",
            )
        return cls(path=path, metadata=metadata, sha256=file_sha256(path))


def stage(model: ModelFile, folder: Path, *, run_id: str) -> None:
    """Write the file and its description to `folder`, so that `mlflow models` and `mlflow.pyfunc` can load it."""
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    metadata = model.metadata

    def tensor(name: str, *shape: int) -> TensorSpec:
        return TensorSpec(np.dtype(np.float32), (-1, *shape), name=name)

    signature = ModelSignature(
        inputs=Schema([tensor("window", metadata.length, len(metadata.channels))]),
        outputs=Schema(
            [
                tensor("probabilities", len(metadata.activities)),
                tensor("features", len(metadata.feature_names)),
                *([tensor(DISTANCE, 1)] if metadata.distances else []),
            ]
        ),
    )
    folder.mkdir(parents=True)
    shutil.copyfile(model.path, folder / FILE_NAME)
    description = Model(artifact_path=FOLDER, run_id=run_id, signature=signature)
    description.add_flavor(
        "python_function",
        loader_module="mlflow.onnx",
        data=FILE_NAME,
        python_version=platform.python_version(),
        env={"virtualenv": "python_env.yaml"},
    )
    description.add_flavor(
        "onnx",
        onnx_version=version("onnx"),
        data=FILE_NAME,
        providers=["CPUExecutionProvider"],
        onnx_session_options=None,
    )
    description.model_size_bytes = model.path.stat().st_size
    description.save(str(folder / "MLmodel"))
    packages = ("mlflow", "numpy", "onnx", "onnxruntime")
    (folder / "requirements.txt").write_text("".join(f"{name}=={version(name)}\n" for name in packages))
    (folder / "python_env.yaml").write_text(
        f"python: {platform.python_version()}\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n"
    )
