"""Let the command `bentoml`, in a project's folder, use the project's store and send no telemetry.

BentoML's command loads this module (entry point `bentoml.commands`) before it reads its home. Nothing of `har` or
`bentos` is imported here: a bento that this command serves must import its own copy of them.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import click

from infra.bentoml.store import environment

_SETTINGS = "har.toml"
_DEFAULT = ".bentoml"


def project_store(start: Path) -> Path | None:
    """The store of the project that the folder `start` is in; None outside of a project."""
    root = next((folder for folder in (start, *start.parents) if (folder / _SETTINGS).is_file()), None)
    if root is None:
        return None
    path = root / _SETTINGS
    try:
        written: str = tomllib.loads(path.read_text(encoding="utf-8-sig")).get("paths", {}).get("bentoml", _DEFAULT)
    except UnicodeDecodeError:
        sys.exit(f"{path}: expected text in UTF-8, but got another encoding. Save the file as UTF-8.")
    except tomllib.TOMLDecodeError as error:
        sys.exit(f"{path}: expected TOML, but got {error}. Fix the line; strings need quotes.")
    return (root / os.environ.get("HAR_PATHS__BENTOML", written)).resolve()


@click.command(name="project", help="Print the folder of this project's models and bentos.")
def command() -> None:
    """Print BentoML's home."""
    click.echo(os.environ.get("BENTOML_HOME", f"no project here: no {_SETTINGS} in this folder or above"))


def _set_environment() -> None:
    store = project_store(Path(os.environ.get("HAR_ROOT") or Path.cwd()).resolve())
    if store is not None:
        os.environ.update({name: value for name, value in environment(store).items() if name not in os.environ})


_set_environment()
