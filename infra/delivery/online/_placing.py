"""Bring a candidate to the store that a folder's service is run from; nothing points at it yet."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from har.errors import ReleaseError, UnknownVersionError
from har.files import file_sha256, make_folder
from har.inference import Package
from har.project import Project
from infra.bentoml.bentos import ProjectBentos
from infra.delivery.online.candidate import Candidate


def place(project: Project, candidate: Candidate) -> str:
    """Copy the candidate; returns the tag of its online bento.

    Args:
        project: whose service it is for.
        candidate: of `make candidate`.

    Raises:
        ModelError: the package is not as it was written.
        ReleaseError: the project's registry does not have this version.
    """
    require_registered(project, candidate)
    name, key = project.settings.project.name, candidate.online.partition(":")[2]
    Package.read(candidate.store / "models" / name / key)
    store = project.settings.path("bentoml")
    bentos = [Path("bentos") / f"{name}-{kind}" / key for kind in ("online", "batch")]
    with ProjectBentos(project.settings.root, store).lock():
        for part in (Path("models") / name / key, *bentos):
            source, target = candidate.store / part, store / part
            if target.exists():
                continue
            make_folder(target.parent)
            draft = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copytree(source, draft)
            draft.replace(target)
    return candidate.online


def require_registered(project: Project, candidate: Candidate) -> None:
    """Check that the candidate is the version of this number in the project's registry.

    Raises:
        ReleaseError: it is not.
    """
    try:
        known = file_sha256(project.registry.model_path(candidate.version))
    except UnknownVersionError:
        known = "no such version"
    own = file_sha256(candidate.model)
    if known != own:
        raise ReleaseError(
            where=f"version {candidate.version}",
            expected=f"the registered model of the folder that serves (SHA-256 {known[:12]})",
            got=f"a candidate with another one ({own[:12]})",
            remedy="Make the candidate and release it with the registry of the folder that serves: its MLflow.",
        )
