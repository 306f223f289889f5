"""The settings and the package of a service: from the project that it runs in, or from its bento."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

import yaml
from bentoml import Model
from bentoml._internal.bento.bento import BentoModelInfo
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import NotFound
from bentoml.models import BentoModel

from har.errors import ModelError, SettingsError
from har.inference import Package
from har.settings import FILE_NAME, Settings, load_settings

_CODE = Path(__file__).resolve().parents[1]
_BENTO = _CODE.parent / "bento.yaml"
"""The manifest of the bento that this code was built into; absent in a project."""


class PackagedModel(BentoModel):
    """A reference to a package in the project's store; if it is missing, BentoML's commands say how to build it."""

    def to_info(self, alias: str | None = None) -> BentoModelInfo:
        """The description for a bento."""
        self._require()
        info: BentoModelInfo = super().to_info(alias)
        return info

    def resolve(self, base_path: str | Path | None = None) -> Model:
        """The package, copied to `base_path` if given."""
        self._require()
        stored: Model = super().resolve(base_path)
        return stored

    def _require(self) -> None:
        # BentoML would search its cloud next, and only report that nobody is logged in there.
        if self.stored is None:
            raise NotFound(str(_no_package(self)))


def settings() -> Settings:
    """The project's settings. A bento has those that it was built with; its paths are below HAR_ROOT or the project.

    Raises:
        SettingsError: see `har.settings.load_settings`.
    """
    if not _BENTO.exists():
        return load_settings(None if "HAR_ROOT" in os.environ else _CODE)
    above = (folder for folder in _BENTO.parents if (folder / FILE_NAME).is_file())
    root = os.environ.get("HAR_ROOT") or next(above, Path.home())
    return load_settings(_CODE).model_copy(update={"root": Path(root).resolve()})


def model(project: Settings) -> BentoModel:
    """A reference to the packaged model: the bento's, or the newest in the project's store.

    Raises:
        SettingsError: the bento names no model.
    """
    _use_own_metrics_folder()
    if not _BENTO.exists():
        return PackagedModel(f"{project.project.name}:latest")
    models = yaml.safe_load(_BENTO.read_text(encoding="utf-8"))["services"][0]["models"]
    if not models:
        raise SettingsError(where=str(_BENTO), expected="a model", got="none", remedy="Build it again: har package.")
    return PackagedModel(models[0]["tag"])


def package(reference: BentoModel) -> Package:
    """The package in the model store.

    Raises:
        ModelError: there is none yet, or it cannot be read.
    """
    stored = reference.stored
    if stored is None:
        raise _no_package(reference)
    return Package.read(Path(stored.path))


def _no_package(reference: BentoModel) -> ModelError:
    return ModelError(
        where=str(reference.tag),
        expected=f"a packaged model in {BentoMLContainer.model_store_dir.get()}",
        got="none",
        remedy="Package the champion: har package.",
    )


def _use_own_metrics_folder() -> None:
    """Use a folder for this service's metrics, which is removed when it ends; its workers inherit the variable."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        # BentoML would use one folder for all services of a store, and empty it whenever one of them starts.
        BentoMLContainer.prometheus_multiproc_dir.set(_metrics_folder().name)


@functools.cache
def _metrics_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="har-metrics-", ignore_cleanup_errors=True)
