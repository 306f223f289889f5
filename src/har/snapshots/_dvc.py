"""`dvc` as a command, which reaches the remote, and its configuration.

It runs in a workspace of its own below `.dvc/tmp`, with the project's remotes and cache: what is sent or fetched there
changes neither the project's pointers nor its folders.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from har.errors import SnapshotError, StorageError
from har.files import make_folder, write_atomically
from har.snapshots._pointer import Pointer
from har.storage import Service

VERSION = "3.67.1"
REMOTE = "store"
"""The name of the remote that the first snapshot makes."""
_DVC = ".dvc"
_IGNORED = "/config.local\n/tmp\n/cache\n"
_LINES = 12


def executable(root: Path) -> str | None:
    """The command: of the project's environment for tools, of the one that runs this, or on the PATH."""
    own = Path(sys.prefix)
    folders = [base / name / "bin" for base in (root / ".venv", own) for name in ("tools", "")]
    return shutil.which("dvc", path=os.pathsep.join(map(str, folders))) or shutil.which("dvc")


def is_configured(root: Path) -> bool:
    """Whether the project names a default remote of DVC; needs no DVC."""
    for name in ("config", "config.local"):
        config = configparser.ConfigParser(interpolation=None, strict=False)
        with contextlib.suppress(OSError, configparser.Error, UnicodeDecodeError):
            config.read_string((root / _DVC / name).read_text(encoding="utf-8"))
            if config.get("core", "remote", fallback=""):
                return True
    return False


def cache_of(root: Path, config: Mapping[str, str]) -> Path:
    """DVC's cache."""
    return Path(config.get("cache.dir") or root / _DVC / "cache")


class Dvc:
    """DVC in one project.

    Args:
        root: the project's folder.
        service: the S3 service of remotes on object storage, where DVC's own configuration names none.

    Raises:
        SnapshotError: it is not installed.
    """

    def __init__(self, root: Path, service: Service) -> None:
        found = executable(root)
        if found is None:
            raise SnapshotError(
                where="har data",
                expected=f"DVC, the command `dvc` (in .venv/tools/bin, .venv/bin or on the PATH; tried with {VERSION})",
                got="none",
                remedy=f"`make setup` installs it; elsewhere: uv tool install 'dvc[s3]=={VERSION}', or with [ssh], "
                "[azure], [gs] for other storage. Everything else works without it.",
            )
        self._command = found
        self._root = root
        self._service = {"endpointurl": service.endpoint, "region": service.region}

    def set_up(self, beside: Path) -> None:
        """Let the project use DVC, with a default remote; what is there stays as it is.

        Args:
            beside: the folder of the remote that is made where none is configured.

        Raises:
            SnapshotError: there are remotes, and none is the default; the folder cannot be made; or DVC refuses.
            StorageError: a file cannot be written.
        """
        folder = self._root / _DVC
        if not (folder / ".gitignore").exists():
            write_atomically(folder / ".gitignore", _IGNORED)
        address = os.path.relpath(beside, folder)
        if not (folder / "config").exists():
            text = f"[core]\n    analytics = false\n    check_update = false\n    remote = {REMOTE}\n"
            _make_remote(beside)
            write_atomically(folder / "config", f"{text}['remote \"{REMOTE}\"']\n    url = {quoted(address)}\n")
            return
        config = self.config()
        if config.get("core.analytics") != "false":
            self._run("config", "core.analytics", "false")
        if "core.remote" in config:
            return
        remotes = sorted({key.split(".", 1)[1].rsplit(".", 1)[0] for key in config if key.startswith("remote.")})
        if remotes:
            raise SnapshotError(
                where=str(folder / "config"),
                expected="a default remote",
                got=f"none of {', '.join(remotes)}",
                remedy="Name one: dvc remote default NAME.",
            )
        _make_remote(beside)
        self._run("remote", "add", "--default", REMOTE, str(beside))

    def config(self) -> dict[str, str]:
        """The configuration of all levels, such as `remote.store.url`; absolute paths, and the project's S3 service."""
        lines = self._run("config", "--list").splitlines()
        config = dict(line.split("=", 1) for line in lines if "=" in line)
        for key in [key for key, value in config.items() if key.endswith(".url") and value.startswith("s3://")]:
            for name, value in self._service.items():
                if value:
                    config.setdefault(f"{key.removesuffix('.url')}.{name}", value)
        return config

    def push(self, pointers: Mapping[str, Pointer], config: Mapping[str, str]) -> None:
        """Send the files of these folders from the cache to the remote; those that it has are not sent again.

        Raises:
            SnapshotError: the remote cannot be reached or does not take them.
        """
        with self._workspace(pointers, config) as folder:
            self._run("push", *(f"{name}.dvc" for name in pointers), cwd=folder, remote=_address(config))

    def fetch(self, pointers: Mapping[str, Pointer], config: Mapping[str, str]) -> None:
        """Bring the files of these folders from the remote into the cache.

        Raises:
            SnapshotError: the remote cannot be reached, or does not have them.
        """
        with self._workspace(pointers, config) as folder:
            self._run("fetch", *(f"{name}.dvc" for name in pointers), cwd=folder, remote=_address(config))

    @contextlib.contextmanager
    def _workspace(self, pointers: Mapping[str, Pointer], config: Mapping[str, str]) -> Iterator[Path]:
        folder = self._root / _DVC / "tmp" / "har"
        settings = folder / _DVC / "config"
        kept = {key: value for key, value in config.items() if key.split(".")[0] in ("remote", "cache", "core")}
        kept |= {
            "core.no_scm": "true",
            "core.analytics": "false",
            "core.check_update": "false",
            "core.site_cache_dir": str(folder / "site"),
            "cache.dir": str(cache_of(self._root, config)),
        }
        try:
            # It may hold the storage's secrets, and goes as soon as it was used.
            write_atomically(settings, _sections(kept), private=True)
            for name, pointer in pointers.items():
                write_atomically(folder / f"{name}.dvc", pointer.text())
            yield folder
        finally:
            settings.unlink(missing_ok=True)

    def _run(self, *arguments: str, cwd: Path | None = None, remote: str = "") -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [self._command, *arguments],
            cwd=cwd or self._root,
            env={**environment, "DVC_NO_ANALYTICS": "1", "COLUMNS": "400"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise SnapshotError(
                where=f"dvc {arguments[0]}{f', remote {remote}' if remote else ''}",
                problem=_complaint(done.stderr) or f"it ended with status {done.returncode}",
                remedy="Nothing was lost or committed. Check that the remote can be reached, has space and may be "
                "written (dvc remote list; dvc remote modify), then run the same command again: it goes on from there.",
            )
        return done.stdout


def _make_remote(folder: Path) -> None:
    try:
        make_folder(folder)
    except StorageError as error:
        raise SnapshotError(
            where=str(folder),
            expected="a folder that can be made: the default remote, beside the repository",
            got=error.got,
            remedy="Name another place in the project's folder: mkdir -p .dvc, then "
            f"dvc remote add --default {REMOTE} FOLDER (or s3://BUCKET/NAME, ssh://HOST/FOLDER).",
        ) from error


def require_remote(config: Mapping[str, str], before: Pointer | None) -> None:
    """Refuse a folder as remote that is not there any more, or is another: a disk that is not mounted.

    DVC would make the folder and send to it what the cache has, and the disk below the mount point would fill.

    Args:
        config: of DVC.
        before: what the last snapshot sent there; None: this is the first.

    Raises:
        SnapshotError: the folder is missing, or lacks the last snapshot.
    """
    address = _address(config)
    if before is None or "://" in address or not address:
        return
    folder = Path(address)
    if not folder.is_dir():
        got = "no folder" if not folder.exists() else "no folder, but a file"
    elif not (folder / "files" / "md5" / before.oid[:2] / before.oid[2:]).exists():
        got = "a folder without it"
    else:
        return
    raise SnapshotError(
        where=f"remote {address}",
        expected=f"the folder that holds the last snapshot ({before.oid[:12]}…)",
        got=got,
        remedy="Mount the disk, or restore the folder. A new remote gets all snapshots first: "
        f"{'' if folder.is_dir() else f'mkdir -p {folder} && '}dvc push --all-commits.",
    )


def _address(config: Mapping[str, str]) -> str:
    return config.get(f"remote.{config.get('core.remote', '')}.url", "")


def _sections(values: Mapping[str, str]) -> str:
    sections: dict[str, list[str]] = {}
    for key, value in sorted(values.items()):
        kind, rest = key.split(".", 1)
        name, _, option = rest.rpartition(".")
        title = f"['{kind} \"{name}\"']" if name else f"[{kind}]"
        sections.setdefault(title, []).append(f"    {option} = {quoted(value)}")
    return "".join(f"{title}\n" + "\n".join(lines) + "\n" for title, lines in sections.items())


def quoted(value: str) -> str:
    """A value as DVC's configuration takes it; a `#` would begin a comment."""
    if not any(letter in value for letter in "#'\"") and value == value.strip():
        return value
    return f"'{value}'" if '"' in value else f'"{value}"'


def _complaint(text: str) -> str:
    """What DVC said, without progress bars and advice."""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return "; ".join(dict.fromkeys(errors or [line for line in lines if line][-_LINES:]))[:1000]
