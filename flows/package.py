"""`package`: the champion in, two tried bentos out: the online API and the batch scorer, recorded with the version."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from prefect import flow, task
from prefect.artifacts import create_table_artifact

from flows._tasks import IO_RETRIES
from har.console import console
from har.errors import PackagingError
from har.inference import Classifier
from har.jobs.package import TAGS, Choice, choose, code_sha256, known_samples, require_fit, write_package
from har.predictions import predict
from har.project import Project, open_project
from infra.bentoml.store import Store, environment, serving
from infra.local.child import Child
from infra.local.server import ServerError

BENTOFILES = ("bentofile.yaml", "bentos/batch/bentofile.yaml")
TOLERANCE = 1e-5
"""How far a bento's probabilities may lie from those of the registry's own file."""

PARQUET = "application/vnd.apache.parquet"
_SOURCES = ("har.toml", *BENTOFILES, "requirements/online.txt", "requirements/batch.txt")
_BUILD_TIMEOUT_S = 600.0
_LOCK_TIMEOUT_S = 900.0
_ANSWER_TIMEOUT_S = 120.0
_PATIENT = {"HAR_SERVING__TIMEOUT_S": "60", "HAR_SERVING__DEADLINE_MS": "60000"}
"""A try asks whether the answers are right; on a busy machine the fallback would answer in the model's place."""


@dataclass(frozen=True)
class PackageReport:
    """What a run of `package` did.

    Attributes:
        version: the version that the bentos carry.
        online_tag: of the online bento.
        batch_tag: of the batch bento.
        built: False if both were there already, tried and recorded.
        seconds: it took.
    """

    version: int
    online_tag: str
    batch_tag: str
    built: bool
    seconds: float


@task(name="choose-models", **IO_RETRIES)
def choose_models(project: Project, version: int | None, shadow: int | None) -> Choice:
    """Settle which versions go in, and that they are for this project's settings."""
    choice = choose(project.registry, version=version, shadow=shadow)
    require_fit(project.registry, choice, project.settings)
    return choice


@task(name="write-package", **IO_RETRIES)
def write(project: Project, choice: Choice, folder: Path) -> NDArray[np.float32]:
    """Write what both bentos carry; returns windows to try them with."""
    return write_package(folder, project.registry, project.lake, choice)[1]


@task(name="build-bentos", **IO_RETRIES)
def build(project: Project, key: str, folder: Path) -> list[str]:
    """Put the package into BentoML's store and build both bentos over it; their tags."""
    settings = project.settings
    store = settings.path("bentoml")
    result = folder.with_name("tags.json")
    names = [settings.project.name, key, str(folder), str(settings.root), str(result), *BENTOFILES]
    child = Child(
        "building the bentos",
        ["infra.bentoml.build", *names],
        environment={**os.environ, **environment(store)},
        log=store / "logs" / "build.log",
        folder=settings.root,
    )
    try:
        status: int | str = child.wait(_BUILD_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        status = f"none within {_BUILD_TIMEOUT_S:g} s"
    finally:
        child.stop()
    if status != 0:
        raise PackagingError(
            where=child.name,
            expected="exit status 0",
            got=str(status),
            remedy=f"Mend what its log says. {child.log} ends:\n{child.tail()}",
        )
    tags: list[str] = json.loads(result.read_text(encoding="utf-8"))
    return tags


@task(name="try-online", **IO_RETRIES)
def try_online(project: Project, version: int, tag: str, windows: NDArray[np.float32]) -> None:
    """Serve the built online bento and compare its answers with the registry's own file."""
    windows = windows[: project.settings.serving.max_windows]
    with _tried(project, tag) as address:
        shape = ",".join(str(size) for size in windows.shape)
        answer = json.loads(
            _post(
                project,
                tag,
                f"{address}/predict/raw?shape={shape}",
                windows.astype("<f4").tobytes(),
                "application/octet-stream",
            )
        )
    classifier = Classifier(project.registry.model_path(version), threads=1)
    activities = classifier.metadata.activities
    found = np.array([[row["probabilities"][name] for name in activities] for row in answer["predictions"]])
    if answer["model_version"] != version or answer["fallback"]:
        raise _differs(
            project, tag, f"answers of version {version}", f"version {answer['model_version']}'s or a fallback"
        )
    _compare(project, tag, found, classifier.predict(windows).probabilities)


@task(name="try-batch", **IO_RETRIES)
def try_batch(project: Project, version: int, tag: str) -> None:
    """Serve the built batch bento and compare its predictions with those of the nightly job."""
    (date, subject), samples = known_samples(project.lake)
    upload = io.BytesIO()
    samples.select(pl.lit(date, pl.Date).alias("date"), pl.lit(subject).alias("subject"), pl.all()).write_parquet(
        upload
    )
    with _tried(project, tag) as address:
        answer = _post(project, tag, f"{address}/score", upload.getvalue(), PARQUET)
    classifier = Classifier(project.registry.model_path(version), threads=1)
    expected = predict([((date, subject), samples)], project.settings, classifier, version)
    found = pl.read_parquet(io.BytesIO(answer))
    exact = ["date", "subject", "session", "start", "end", "activity", "abstained", "model_version"]
    if not found.select(exact).equals(expected.select(exact)):
        raise _differs(project, tag, f"{len(expected)} predictions as the nightly job makes them", "others")
    _compare(project, tag, found["confidence"].to_numpy(), expected["confidence"].to_numpy())


@task(name="record", **IO_RETRIES)
def record(project: Project, version: int, tags: list[str]) -> None:
    """Note both tags with the version."""
    project.registry.set_tags(version, dict(zip(TAGS, tags, strict=True)))


@flow(name="package")
def package(version: int | None = None, shadow: int | None = None) -> PackageReport:
    """Build the champion's online and batch bento, try both, and record them; what is there already stays.

    Args:
        version: another version than the champion, to try it out.
        shadow: a version that sees a share of the requests without answering; by default the challenger, if there
            is one for the same windows.

    Raises:
        NoChampionError: nothing serves yet.
        PackagingError: a bento cannot be built, or answers otherwise than its model; nothing is recorded.
    """
    began = time.perf_counter()
    project = open_project()
    choice = choose_models(project, version, shadow)
    number, key = choice.version.number, choice.key(_code(project.settings.root))
    store = Store(project.settings.path("bentoml"))
    with _alone(store):
        known = project.registry.version(number).tags
        tags = [known.get(name, "") for name in TAGS]
        built = not all(tag.endswith(f":{key}") for tag in tags) or not store.holds(*tags, _model(project, key))
        if built:
            tags = _build_and_try(project, choice, key, store)
        else:
            console.print(f"Version {number} is packaged already: {', '.join(tags)}.", highlight=False)
        store.point_at(*tags, _model(project, key))
    report = PackageReport(number, tags[0], tags[1], built, round(time.perf_counter() - began, 1))
    create_table_artifact(
        key="package-run",
        table=[{name: str(value) for name, value in vars(report).items()}],
        description="The bentos that carry the champion.",
    )
    return report


def _build_and_try(project: Project, choice: Choice, key: str, store: Store) -> list[str]:
    number = choice.version.number
    with store.all_or_nothing(key), tempfile.TemporaryDirectory(prefix="har-package-") as parent:
        folder = Path(parent) / "package"
        with console.status("Reading the champion's training windows …"):
            windows = write(project, choice, folder)
        with console.status("Building the bentos …"):
            tags = build(project, key, folder)
        with console.status("Trying the online bento …"):
            try_online(project, number, tags[0], windows)
        with console.status("Trying the batch bento …"):
            try_batch(project, number, tags[1])
        record(project, number, tags)
    return tags


def _model(project: Project, key: str) -> str:
    return f"{project.settings.project.name}:{key}"


def _code(root: Path) -> str:
    folders = (root / "bentos", root / "src" / "har")
    modules = [path for folder in folders for path in folder.rglob("*.py")]
    return code_sha256(root, [*modules, *(root / name for name in _SOURCES)])


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    store.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(store.folder / "package.lock", timeout=_LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise PackagingError(
            where=str(store.folder),
            expected=f"the store to be free within {_LOCK_TIMEOUT_S:g} s",
            got="another process that packages",
            remedy="Wait for it to end, then try again.",
        ) from error


@contextmanager
def _tried(project: Project, tag: str) -> Iterator[str]:
    """Serve a built bento as a user would, except that what it is asked does not count as real requests."""
    settings = project.settings
    store = settings.path("bentoml")
    with tempfile.TemporaryDirectory(prefix="har-try-") as journal:
        variables = {**_PATIENT, "HAR_PATHS__JOURNAL": journal}
        try:
            with serving(tag, settings.root, store, log=_log(project, tag), settings=variables) as address:
                yield address
        except ServerError as error:
            raise PackagingError(
                where=f"bento {tag}", expected=error.expected, got=error.got, remedy=error.remedy
            ) from error


def _post(project: Project, tag: str, address: str, body: bytes, kind: str) -> bytes:
    request = urllib.request.Request(address, data=body, headers={"Content-Type": kind})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_ANSWER_TIMEOUT_S) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        words = error.read().decode(errors="replace")
        raise _differs(project, tag, "an answer to known windows", f"{error.code}: {words}") from error
    except OSError as error:
        raise _differs(project, tag, "an answer to known windows", str(error)) from error


def _compare(project: Project, tag: str, found: NDArray[Any], expected: NDArray[np.float32]) -> None:
    if found.shape != expected.shape:
        raise _differs(project, tag, f"probabilities of shape {expected.shape}", f"shape {found.shape}")
    difference = float(np.abs(found - expected).max(initial=0))
    if not difference <= TOLERANCE:
        raise _differs(project, tag, f"the model's probabilities to {TOLERANCE:g}", f"a difference of {difference:g}")


def _differs(project: Project, tag: str, expected: str, got: str) -> PackagingError:
    log = _log(project, tag)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
    return PackagingError(
        where=f"bento {tag}", expected=expected, got=got, remedy=f"Mend the service in bentos/. {log} ends:\n{tail}"
    )


def _log(project: Project, tag: str) -> Path:
    return project.settings.path("bentoml") / "logs" / f"{tag.partition(':')[0]}.log"
