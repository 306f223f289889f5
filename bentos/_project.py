"""Where a service finds its settings and its packaged model: in the project it runs in, or in its own bento."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import attrs
import yaml
from bentoml import Model
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import NotFound
from bentoml.models import BentoModel

from har.errors import ModelError, SettingsError
from har.inference import Package
from har.settings import FILE_NAME, Settings, load_settings

_CODE = Path(__file__).resolve().parents[1]
_BENTO = _CODE.parent / "bento.yaml"
"""The manifest of the bento that this code is in; absent in a project."""
_RECORDED = "package_sha256"


class PackagedModel(BentoModel):
    """A reference to a package in the project's store; without one, BentoML's commands tell how to make it."""

    def to_info(self, alias: str | None = None) -> Any:
        """The model as a bento records it: with the hash of its package, which must be the same when it is served."""
        self._require()
        recorded = {_RECORDED: Package.read(Path(self.stored.path)).sha256}
        return attrs.evolve(super().to_info(alias), metadata=recorded)

    def resolve(self, base_path: str | Path | None = None) -> Model:
        """The package, copied to `base_path` if given."""
        self._require()
        stored: Model = super().resolve(base_path)
        return stored

    def _require(self) -> None:
        # BentoML would look for it in BentoCloud, and report only that nobody is logged in there.
        if self.stored is None:
            raise NotFound(str(_no_package(self)))


def settings() -> Settings:
    """The project's settings; a bento has those it was built with, and paths of the project around it or of HAR_ROOT.

    Raises:
        SettingsError: see `har.settings.load_settings`.
    """
    if not _BENTO.exists():
        return load_settings(None if "HAR_ROOT" in os.environ else _CODE)
    above = (folder for folder in _BENTO.parents if (folder / FILE_NAME).is_file())
    root = os.environ.get("HAR_ROOT") or next(above, Path.home())
    return load_settings(_CODE).model_copy(update={"root": Path(root).resolve()})


def model(project: Settings) -> BentoModel:
    """A reference to the packaged model: the one a bento was built with, or the newest in the project's store.

    Raises:
        SettingsError: the bento names no model.
    """
    _set_metrics_folder()
    if not _BENTO.exists():
        return PackagedModel(f"{project.project.name}:latest")
    return PackagedModel(_recorded_model()["tag"])


def package(reference: BentoModel) -> Package:
    """The package that `har package` put into the model store.

    Raises:
        ModelError: there is none, it is no package, one of its files was changed, or it is not the package that this
            bento was built with.
    """
    stored = reference.stored
    if stored is None:
        raise _no_package(reference)
    found = Package.read(Path(stored.path))
    if _BENTO.exists():
        recorded = (_recorded_model().get("metadata") or {}).get(_RECORDED)
        if recorded != found.sha256:
            raise ModelError(
                where=stored.path,
                expected=f"the package that {_BENTO} was built with, SHA-256 {recorded}",
                got=f"version {found.version}, SHA-256 {found.sha256}",
                remedy="Package the champion again: har package.",
            )
    return found


def _recorded_model() -> dict[str, Any]:
    """What this bento's manifest says about its model.

    Raises:
        SettingsError: nothing.
    """
    models: list[dict[str, Any]] = yaml.safe_load(_BENTO.read_text(encoding="utf-8"))["services"][0]["models"]
    if not models:
        raise SettingsError(where=str(_BENTO), expected="a model", got="none", remedy="Build it again: har package.")
    return models[0]


def _no_package(reference: BentoModel) -> ModelError:
    return ModelError(
        where=str(reference.tag),
        expected=f"a packaged model in {BentoMLContainer.model_store_dir.get()}",
        got="none",
        remedy="Package the champion: har package.",
    )


def _set_metrics_folder() -> None:
    """Give this service a metrics folder of its own, removed when it ends; BentoML passes it on to the workers."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        # BentoML's default is one folder for all services of a home, emptied whenever one of them starts. It overwrites
        # the variable, so only its container can set the folder (no public way in 1.4.39).
        BentoMLContainer.prometheus_multiproc_dir.set(_metrics_folder().name)


@functools.cache
def _metrics_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="har-metrics-", ignore_cleanup_errors=True)
