"""A folder in, an MLflow client out: quiet on the terminal, no telemetry, and a database that is complete or absent.

MLflow takes about four seconds to import and two more to create a database, so both wait until they are needed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from har import files
from har.errors import RegistryError

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def is_local() -> bool:
    """Whether the registry is the SQLite file in its folder, not what MLFLOW_TRACKING_URI names."""
    return not os.environ.get(_URI_VARIABLE)


def artifact_root(folder: Path) -> str | None:
    """Where new experiments put artifacts; None: an MLflow server decides."""
    uri = os.environ.get(_URI_VARIABLE, "")
    return None if uri.startswith(("http://", "https://")) else str(folder / ARTIFACTS)


def connect(folder: Path) -> Any:
    """An `mlflow.MlflowClient` for `folder`, its database created first if there is none.

    Raises:
        RegistryError: the database cannot be opened or created.
    """
    os.environ.update(_ENVIRONMENT)
    uri = os.environ.get(_URI_VARIABLE) or _sqlite(folder / DATABASE)
    with asking(folder), _no_warnings():
        from mlflow import MlflowClient

        if is_local() and not (folder / DATABASE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / "create.lock"):
                _create(folder)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _create(folder: Path) -> None:
    """Migrate under another name and rename: a killed start leaves no half-made database for the next to trip on."""
    if (folder / DATABASE).exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for leftover in folder.glob(f"{DATABASE}.new*"):
        leftover.unlink()
    # The process id keeps MLflow, which caches one engine per address, from reusing one whose file was renamed away.
    draft = folder / f"{DATABASE}.new-{os.getpid()}"
    store = SqlAlchemyStore(_sqlite(draft), str(folder / ARTIFACTS))  # type: ignore[no-untyped-call]
    store.engine.dispose()
    draft.replace(folder / DATABASE)


def _sqlite(path: Path) -> str:
    return f"sqlite:///{path.as_posix()}"


@contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def asking(folder: Path) -> Iterator[None]:
    """Turn MLflow's, SQLAlchemy's and the disk's errors into a RegistryError."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in {"mlflow", "sqlalchemy"}:
            raise
        raise RegistryError(
            where=f"registry {os.environ.get(_URI_VARIABLE) or folder}",
            expected="an answer from MLflow",
            got=str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            remedy="Check that the folder is writable and the database or server whole; "
            "an older database is brought up to date by `mlflow db upgrade`.",
        ) from error


@contextmanager
def locked(path: Path, timeout_s: float = 60) -> Iterator[None]:
    """Hold the lock file `path`; the system frees it when its holder dies.

    Raises:
        RegistryError: another process holds it for longer than `timeout_s`.
    """
    busy = RegistryError(
        where=str(path),
        expected=f"the registry to be free within {timeout_s:g} s",
        got="another process at work in it",
        remedy="Wait for it to end, then try again.",
    )
    with files.locked(path, timeout_s=timeout_s, busy=busy):
        yield
