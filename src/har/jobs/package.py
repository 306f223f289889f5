"""Package the champion: build its online and batch bento, test both, and record them with the version.

`Bentos` builds and serves them; `infra.bentoml` implements it.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.console import console
from har.engine import Each, in_threads, once
from har.errors import PackagingError
from har.files import temporary_folder
from har.jobs._contents import Choice, choose, code_sha256, known_samples, require_fit, write_package
from har.predictions import predict
from har.project import Project

TAGS = ("bento_online", "bento_batch")
"""Tags of a registered version with the names of its bentos, set after their test."""
BENTOFILES = ("bentofile.yaml", "bentos/batch/bentofile.yaml")
TOLERANCE = 1e-5
"""Largest allowed difference between probabilities of a bento and of the registered model file."""

_PARQUET = "application/vnd.apache.parquet"
_SOURCES = ("har.toml", *BENTOFILES, "requirements/online.txt", "requirements/batch.txt")
_ANSWER_TIMEOUT_S = 120.0
_LONG_TIMEOUTS = {"HAR_SERVING__TIMEOUT_S": "60", "HAR_SERVING__DEADLINE_MS": "60000"}
"""Long time limits for the test: on a busy machine, the fallback would answer in place of the model."""


class Bentos(Protocol):
    """Builds and serves bentos in the project's store; can be pickled."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold the lock for packaging."""

    def holds(self, *tags: str) -> bool:
        """Whether all of these models or bentos exist and are complete."""

    def point_at(self, *tags: str) -> None:
        """Let the tag `latest` mean these models and bentos."""

    def all_or_nothing(self, version: str) -> AbstractContextManager[None]:
        """Remove models and bentos of this version first, and again if the block fails; `latest` is then restored."""

    def build(self, name: str, version: str, folder: Path, bentofiles: tuple[str, ...]) -> list[str]:
        """Store the package in `folder` as a model and build a bento of it from each bentofile; returns the tags."""

    def serving(self, tag: str, settings: Mapping[str, str]) -> AbstractContextManager[str]:
        """Serve a bento during the block; yields its address once it is ready."""

    def log_end(self, tag: str) -> str:
        """The path and the last lines of the log of a bento that was served."""


@dataclass(frozen=True)
class PackageReport:
    """The result of `package`.

    Attributes:
        version: the model version in the bentos.
        online_tag: of the online bento.
        batch_tag: of the batch bento.
        built: False if both were built, tested and recorded before.
        seconds: duration.
    """

    version: int
    online_tag: str
    batch_tag: str
    built: bool
    seconds: float


@dataclass(frozen=True)
class ChoicePart:
    """The versions that the caller chose; None: by default."""

    project: Project
    version: int | None
    shadow: int | None


@dataclass(frozen=True)
class BuildPart:
    """A package to build, and the folder for it."""

    project: Project
    bentos: Bentos
    choice: Choice
    key: str
    folder: Path

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True)
class CheckPart:
    """A bento to test: the online one with `windows`, the batch one without."""

    project: Project
    bentos: Bentos
    version: int
    tag: str
    windows: NDArray[np.float32] | None = None

    def __str__(self) -> str:
        return self.tag


@dataclass(frozen=True)
class RecordPart:
    """Tested bentos of a version."""

    project: Project
    version: int
    tags: tuple[str, ...]


def package(
    project: Project,
    bentos: Bentos,
    *,
    version: int | None = None,
    shadow: int | None = None,
    follow: bool = True,
    each: Each = in_threads,
) -> PackageReport:
    """Build the champion's online and batch bento, test both, and record them; bentos that exist are not built again.

    Args:
        project: its registry, lake and code.
        bentos: builds and serves bentos.
        version: another version than the champion.
        shadow: a version that gets a share of the requests without answering them; by default the challenger, if it
            takes the same windows.
        follow: let `latest` mean the bentos, which services without a release follow.
        each: how to run the steps; both bentos can be tested at the same time.

    Raises:
        NoChampionError: there is no champion yet.
        PackagingError: a bento cannot be built, or its answers differ from its model's; nothing is recorded.
    """
    began = time.perf_counter()
    name = project.settings.project.name
    # Chosen under the lock: the champion may have changed while another run held it.
    with bentos.lock():
        while True:
            choice = once(each, choose_models, ChoicePart(project, version, shadow))
            number, key = choice.version.number, choice.key(_code(project.settings.root))
            known = project.registry.version(number).tags
            tags = [known.get(tag, "") for tag in TAGS]
            built = not all(tag.endswith(f":{key}") for tag in tags) or not bentos.holds(*tags, f"{name}:{key}")
            if built:
                tags = _build_and_check(project, bentos, choice, key, each)
            else:
                console.print(f"Version {number} is packaged already: {', '.join(tags)}.", highlight=False)
            champion = number if version is not None else project.registry.champion().number
            if champion == number:
                break
            # A promotion or a rollback during the build: `latest` must not mean the version that no longer serves.
            console.print(f"Version {champion} is the champion since: it is packaged next.", highlight=False)
        if follow:
            bentos.point_at(*tags, f"{name}:{key}")
    return PackageReport(number, tags[0], tags[1], built, round(time.perf_counter() - began, 1))


def choose_models(part: ChoicePart) -> Choice:
    """Choose the versions, and check that they fit this project's settings."""
    registry = part.project.registry
    choice = choose(registry, version=part.version, shadow=part.shadow)
    require_fit(registry, choice, part.project.settings)
    return choice


def write(part: BuildPart) -> NDArray[np.float32]:
    """Write the package; returns windows to test the bentos with."""
    return write_package(part.folder, part.project.registry, part.project.lake, part.choice)[1]


def build(part: BuildPart) -> list[str]:
    """Store the package and build both bentos of it; returns their tags."""
    return part.bentos.build(part.project.settings.project.name, part.key, part.folder, BENTOFILES)


def check_bento(part: CheckPart) -> None:
    """Serve a bento and compare its answers with those of the registered model file.

    Raises:
        PackagingError: the bento does not start, refuses the request, or answers differently.
    """
    (_check_batch if part.windows is None else _check_online)(part)


def record(part: RecordPart) -> None:
    """Store both tags with the version."""
    part.project.registry.set_tags(part.version, dict(zip(TAGS, part.tags, strict=True)))


def _build_and_check(project: Project, bentos: Bentos, choice: Choice, key: str, each: Each) -> list[str]:
    number = choice.version.number
    with bentos.all_or_nothing(key), temporary_folder("package") as parent:
        part = BuildPart(project, bentos, choice, key, parent / "package")
        with console.status("Reading the champion's training windows …"):
            windows = once(each, write, part)
        with console.status("Building the bentos …"):
            online, batch = once(each, build, part)
        with console.status("Testing the bentos …"):
            shown = windows[: project.settings.serving.max_windows]
            checks = [CheckPart(project, bentos, number, online, shown), CheckPart(project, bentos, number, batch)]
            list(each(check_bento, checks))
        once(each, record, RecordPart(project, number, (online, batch)))
    return [online, batch]


def _check_online(part: CheckPart) -> None:
    windows = part.windows
    assert windows is not None  # noqa: S101  the online bento's part
    shape = ",".join(str(size) for size in windows.shape)
    body, kind = windows.astype("<f4").tobytes(), "application/octet-stream"
    answer = json.loads(_served(part, f"/predict/raw?shape={shape}", body, kind))
    classifier = part.project.classifier(part.version)
    activities = classifier.metadata.activities
    answered = np.array([[row["probabilities"][name] for name in activities] for row in answer["predictions"]])
    if answer["model_version"] != part.version or answer["fallback"]:
        got = f"version {answer['model_version']}'s or a fallback"
        raise _differs(part, f"answers of version {part.version}", got)
    _compare(part, answered, classifier.predict(windows).probabilities)


def _check_batch(part: CheckPart) -> None:
    project = part.project
    (date, subject), samples = known_samples(project.lake)
    upload = io.BytesIO()
    placed = samples.select(pl.lit(date, pl.Date).alias("date"), pl.lit(subject).alias("subject"), pl.all())
    placed.write_parquet(upload)
    answer = _served(part, "/score", upload.getvalue(), _PARQUET)
    expected = predict([((date, subject), samples)], project.settings, project.classifier(part.version), part.version)
    answered = pl.read_parquet(io.BytesIO(answer))
    exact = ["date", "subject", "session", "start", "end", "activity", "abstained", "model_version"]
    if not answered.select(exact).equals(expected.select(exact)):
        raise _differs(part, f"{len(expected)} predictions as the nightly job makes them", "others")
    _compare(part, answered["confidence"].to_numpy(), expected["confidence"].to_numpy())


def _served(part: CheckPart, route: str, body: bytes, kind: str) -> bytes:
    """The answer of the bento, served as usual but with a prediction log that is thrown away."""
    import httpx

    with (
        temporary_folder("test") as folder,
        # Its temporary files as well: a service that is killed does not remove them.
        part.bentos.serving(
            part.tag, {**_LONG_TIMEOUTS, "HAR_PATHS__JOURNAL": str(folder / "journal"), "TMPDIR": str(folder)}
        ) as address,
    ):
        try:
            # The bento runs on this machine, which a proxy cannot reach.
            with httpx.Client(base_url=address, timeout=_ANSWER_TIMEOUT_S, trust_env=False) as client:
                answer = client.post(route, content=body, headers={"Content-Type": kind})
        except httpx.HTTPError as error:
            raise _differs(part, "an answer to the test request", str(error) or type(error).__name__) from error
    if answer.is_error:
        raise _differs(part, "an answer to the test request", f"{answer.status_code}: {answer.text}")
    return answer.content


def _compare(part: CheckPart, found: NDArray[Any], expected: NDArray[np.float32]) -> None:
    if found.shape != expected.shape:
        raise _differs(part, f"probabilities of shape {expected.shape}", f"shape {found.shape}")
    difference = float(np.abs(found - expected).max(initial=0))
    if not difference <= TOLERANCE:
        raise _differs(part, f"the model's probabilities to {TOLERANCE:g}", f"a difference of {difference:g}")


def _differs(part: CheckPart, expected: str, got: str) -> PackagingError:
    return PackagingError(
        where=f"bento {part.tag}",
        expected=expected,
        got=got,
        remedy=f"Fix the service in bentos/. {part.bentos.log_end(part.tag)}",
    )


def _code(root: Path) -> str:
    folders = (root / "bentos", root / "src" / "har")
    modules = [path for folder in folders for path in folder.rglob("*.py")]
    return code_sha256(root, [*modules, *(root / name for name in _SOURCES)])
