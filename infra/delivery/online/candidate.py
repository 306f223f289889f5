"""Package what is to be released, beside the store that is served from: nothing that runs notices.

    python -m infra.delivery.online.candidate [VERSION]   the champion, or another registered version
    python -m infra.delivery.online.candidate --stack     what the worker of `make stack` has packaged
    python -m infra.delivery.online.candidate --sample    a small model, trained on the embedded recordings: for CI

The bentos are in `build/delivery/bentoml`; `build/delivery/candidate.json` tells the next steps which they are.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from har.console import console
from har.errors import ReleaseError
from har.inference import Classifier
from har.jobs.package import package
from har.project import Project, open_project
from har.settings import Settings, load_settings
from infra.bentoml.bentos import ProjectBentos
from infra.delivery._sample import sample_project
from infra.delivery._step import RESULTS, results, run_step, write_json
from infra.delivery.online.smoke import Expected

NAME = "candidate.json"
STORE = "bentoml"
_EPOCHS = 4


@dataclass(frozen=True)
class Candidate:
    """What is to be released.

    Attributes:
        version: of the model in the registry.
        online: tag of the online bento.
        batch: tag of the batch bento.
        model: the registered model file, which says what must be answered.
        store: BentoML's home that has the bentos.
    """

    version: int
    online: str
    batch: str
    model: Path
    store: Path

    @classmethod
    def read(cls, root: Path) -> Candidate:
        """The candidate that the last step made.

        Raises:
            ReleaseError: there is none.
        """
        path = root / RESULTS / NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                int(content["version"]),
                content["online"],
                content["batch"],
                Path(content["model"]),
                Path(content["store"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReleaseError(
                where=str(path),
                expected="a candidate",
                got=f"{type(error).__name__}: {error}",
                remedy="Make one: make candidate; or, to try the steps, make candidate-sample.",
            ) from error

    def expected(self) -> Expected:
        """What it must answer."""
        return Expected(self.version, Classifier(self.model, threads=1))


def make_candidate(project: Project, version: int | None = None) -> Candidate:
    """Package a registered version into the store of candidates, and note it.

    Args:
        project: its registry and lake.
        version: None: the champion.

    Raises:
        NoChampionError: there is none.
        PackagingError: a bento cannot be built, or its answers differ from its model's.
    """
    root = project.settings.root
    store = results(root) / STORE
    done = package(project, ProjectBentos(root, store), version=version)
    candidate = Candidate(
        done.version, done.online_tag, done.batch_tag, project.registry.model_path(done.version), store
    )
    return note(root, candidate)


def note(root: Path, candidate: Candidate) -> Candidate:
    """Tell the next steps which candidate it is."""
    write_json(results(root) / NAME, {name: _plain(value) for name, value in asdict(candidate).items()})
    return candidate


def sample_model(settings: Settings) -> Project:
    """Train a small model on the embedded recordings in a registry and lake of its own, below `build/delivery`.

    The code and har.toml are the project's; activities and window length only if the recordings fit them.
    """
    folder = results(settings.root) / "sample"
    shutil.rmtree(folder, ignore_errors=True)
    made = sample_project(settings, folder, training={"epochs": _EPOCHS, "device": "cpu"})
    content: dict[str, Any] = made.model_dump(mode="json", exclude={"root"})
    paths = {name: str(made.path(name)) for name in type(made.paths).model_fields}
    content["paths"] = {**paths, "bentoml": str(results(settings.root) / STORE)}
    project = Project(Settings.from_values(content, root=settings.root))
    from har.jobs.ingest import ingest
    from har.jobs.train import train

    ingest(project)
    train(project)
    return project


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="?", type=int, help="by default the champion")
    parser.add_argument("--stack", action="store_true", help="take what the worker of make stack has packaged")
    parser.add_argument("--sample", action="store_true", help="train a small model on the embedded recordings first")
    options = parser.parse_args()
    if options.stack:
        from infra.compose.stack import Stack
        from infra.delivery.online._stack_candidate import from_stack

        settings = load_settings()
        stack = Stack.open(settings.root, settings.project.name)
        return tell(note(settings.root, from_stack(stack, results(settings.root) / STORE)))
    if options.sample:
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # the registry of this training is below build/, too
        project, version = sample_model(load_settings()), 1
    else:
        project, version = open_project(), options.version
    return tell(make_candidate(project, version))


def tell(found: Candidate) -> int:
    """Say which candidate it is; returns 0."""
    console.print(
        f"Candidate: version {found.version}, {found.online} and {found.batch} in {found.store}.",
        highlight=False,
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    run_step(_main)
