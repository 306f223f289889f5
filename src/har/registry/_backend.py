"""Connect to MLflow without terminal output and telemetry; a new database appears complete or not at all.

Importing MLflow takes about four seconds and creating a database two more, so neither happens before it is needed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from har import files
from har.errors import RegistryError, StoreError
from har.files import without_question_mark

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def tracking_uri() -> str:
    """Where the versions are, if not in the registry's folder; "" if they are."""
    return os.environ.get(_URI_VARIABLE, "")


def is_local() -> bool:
    """Whether the registry is the SQLite file in its folder; False: MLFLOW_TRACKING_URI names another backend."""
    return not tracking_uri()


def artifact_root(folder: Path, artifacts: str = "") -> str | None:
    """Where artifacts of new experiments are; None: an MLflow server decides.

    Args:
        folder: MLflow's.
        artifacts: an address on object storage; "": none.
    """
    uri = os.environ.get(_URI_VARIABLE, "")
    server = uri.startswith(("http://", "https://"))
    return None if server and not artifacts else artifact_location(folder, artifacts)


def artifact_location(folder: Path, artifacts: str = "") -> str:
    """Where artifacts are, as MLflow stores it: an address, a path or, where MLflow would decode or cut it, `file:…`.

    Args:
        folder: MLflow's.
        artifacts: an address on object storage; "": in the folder.
    """
    if artifacts:
        return artifacts.rstrip("/")
    path = folder / ARTIFACTS
    return path.as_uri() if any(sign in str(path) for sign in "%?#") else str(path)


def connect(folder: Path) -> Any:
    """An `mlflow.MlflowClient` for `folder`, creating its database if there is none.

    Raises:
        RegistryError: the database cannot be opened or created.
    """
    os.environ.update(_ENVIRONMENT)
    uri = os.environ.get(_URI_VARIABLE) or local_database(folder)
    with registry_errors(folder), _no_warnings():
        from mlflow import MlflowClient

        if is_local() and not (folder / DATABASE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / "create.lock"):
                _create(folder)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _create(folder: Path) -> None:
    """Create the database under another name and rename it, so that a killed process leaves no incomplete one."""
    if (folder / DATABASE).exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for leftover in folder.glob(f"{DATABASE}.new*"):
        leftover.unlink()
    # The process id is in the name because MLflow caches one engine per address, and must not reuse a renamed file's.
    draft = folder / f"{DATABASE}.new-{os.getpid()}"
    store = SqlAlchemyStore(_sqlite(draft), artifact_location(folder))  # type: ignore[no-untyped-call]
    store.engine.dispose()
    draft.replace(folder / DATABASE)


def local_database(folder: Path) -> str:
    """The address of the database in MLflow's folder, as SQLAlchemy takes it; valid as long as this process runs."""
    return _sqlite(folder / DATABASE)


def _sqlite(path: Path) -> str:
    return f"sqlite:///{(without_question_mark(path.parent) / path.name).as_posix()}"


@contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def registry_errors(folder: Path) -> Iterator[None]:
    """Raise errors of MLflow, SQLAlchemy and the file system as RegistryError."""
    try:
        yield
    except Exception as error:
        if isinstance(error, StoreError):  # says itself what is wrong with object storage
            raise
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in {"mlflow", "sqlalchemy"}:
            raise
        raise RegistryError(
            where=f"registry {os.environ.get(_URI_VARIABLE) or folder}",
            expected="an answer from MLflow",
            got=_cause(error),
            remedy="Check that the folder is writable, that there is space, and that the database or server works; "
            "restore a damaged mlflow.db from a backup; `mlflow db upgrade` updates a database of an older release.",
        ) from error


def _cause(error: BaseException) -> str:
    """The first line of the error at the root of another: the database's own words, where it is the database."""
    while inner := error.__cause__ or getattr(error, "orig", None):
        error = inner
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def locked(path: Path, timeout_s: float = 60) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it when the process ends.

    Raises:
        RegistryError: another process holds the lock for longer than `timeout_s`.
    """
    busy = RegistryError(
        where=str(path),
        expected=f"the registry to be free within {timeout_s:g} s",
        got="another process that still uses it",
        remedy="Wait until that process ends, then try again.",
    )
    with files.locked(path, timeout_s=timeout_s, busy=busy):
        yield
