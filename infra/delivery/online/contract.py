"""Compare the services' OpenAPI documents with those of the last release: a break needs a version that says so.

    python -m infra.delivery.online.contract            exit status 1 if a client of the last release would break
    python -m infra.delivery.online.contract --release  also record the documents as those of the next release

The documents are those of models that a project with these settings trains, so none has to be there. The last
release's are in `delivery/contracts/`, committed; the version is `project.version` in pyproject.toml. A break needs
another major version, or, before 1.0, another minor one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from har.errors import HarError, SettingsError
from har.files import write_atomically
from har.settings import Settings, load_settings
from infra.delivery.online._compare import Document, breaks, essence
from infra.local.environment import quiet_environment

FOLDER = Path("delivery") / "contracts"
_CODE = Path(__file__).resolve().parents[3]


def online(settings: Settings) -> Document:
    """The online service's document, of a model that a project with these settings trains."""
    from bentos.online._openapi import describe_planned

    return describe_planned(settings)


def batch(settings: Settings) -> Document:
    """The batch service's document, as BentoML writes it.

    Raises:
        SettingsError: the service cannot be imported with these settings.
    """
    done = subprocess.run(
        [sys.executable, "-m", "infra.delivery.online._batch_document"],
        env={**os.environ, **quiet_environment(), "HAR_ROOT": str(settings.root)},
        cwd=_CODE,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SettingsError(
            where="the batch service",
            problem=f"cannot be imported:\n{done.stderr.strip()}",
            remedy="Fix bentos/batch/service.py or the settings.",
        )
    document: Document = json.loads(done.stdout)
    return document


SERVICES: Mapping[str, Callable[[Settings], Document]] = {"online": online, "batch": batch}


def check(root: Path, *, release: bool = False) -> int:
    """Compare, say what was found, and record the documents for a release.

    Args:
        root: the project's folder.
        release: record the new documents, unless there are breaks that the version does not announce.

    Returns:
        The exit status: 1 if a client of the last release would break, and the version does not say so.

    Raises:
        SettingsError: a recorded document or a version cannot be read.
    """
    settings, version = load_settings(root), project_version(root)
    bad = False
    documents = {name: essence(make(settings)) for name, make in SERVICES.items()}
    for name, document in documents.items():
        path = root / FOLDER / f"{name}.json"
        if not path.exists():
            print(f"{name}: no earlier release in {path.relative_to(root)}, so no client can break.")
            continue
        before, old = recorded(path)
        found = breaks(old, document)
        announced = announces_breaks(before, version)
        for reason in found:
            print(f"{name}: {reason}")
        if not found:
            print(f"{name}: {version} serves the clients of {before}.")
        elif announced:
            print(f"{name}: {len(found)} breaks since {before}, which version {version} announces.")
        else:
            bad = True
            print(
                f"{name}: expected an API for the clients of {before}, but got {len(found)} breaks in version "
                f"{version}. Take them back, or raise the version in pyproject.toml to {next_version(before)}."
            )
    if release and not bad:
        for name, document in documents.items():
            path = root / FOLDER / f"{name}.json"
            content = {"version": str(version), "document": document}
            write_atomically(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
            print(f"{name}: recorded as the API of {version} in {path.relative_to(root)}; commit it with the release.")
    return int(bad)


def recorded(path: Path) -> tuple[Version, Document]:
    """The version and document of the last release.

    Raises:
        SettingsError: the file is not what `--release` writes.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version, document = Version(content["version"]), content["document"]
        if not document["paths"]:
            raise ValueError("a document without paths")
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            where=str(path),
            expected="the API of a release, as `make contract-release` writes it",
            got=f"{type(error).__name__}: {error}",
            remedy=f"Restore it: git checkout -- {path.name}.",
        ) from error
    return version, document


def project_version(root: Path) -> Version:
    """The version in the project's pyproject.toml.

    Raises:
        SettingsError: there is none.
    """
    path = root / "pyproject.toml"
    try:
        return Version(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"])
    except (OSError, KeyError, InvalidVersion, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            where=f"{path}, project.version",
            expected='a version such as "1.4.0"',
            got=f"{type(error).__name__}: {error}",
            remedy="Write one.",
        ) from error


def announces_breaks(before: Version, now: Version) -> bool:
    """Whether clients of `before` must expect to break with `now`: another major version, or before 1.0 a minor one."""
    return now.major > before.major or (now.major == before.major == 0 and now.minor > before.minor)


def next_version(before: Version) -> Version:
    """The lowest version that announces breaks."""
    return Version(f"{before.major + 1}.0.0" if before.major else f"0.{before.minor + 1}.0")


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.online.contract", description=__doc__)
    parser.add_argument("--release", action="store_true", help="record the documents as those of the next release")
    chosen = parser.parse_args(arguments)
    try:
        return check(load_settings().root, release=chosen.release)
    except HarError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
