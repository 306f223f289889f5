"""Load the settings from `har.toml` and `HAR_…` variables; errors name the file, the key and the fix."""

from __future__ import annotations

import codecs
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError as SourceError

from har.errors import SettingsError, did_you_mean, reason
from har.settings._settings import Settings
from har.settings._variables import refuse_mistaken

FILE_NAME = "har.toml"


def load_settings(start: Path | str | None = None) -> Settings:
    """Read `har.toml` from `start` (a folder or the file itself; default: here or the nearest folder above).

    Whatever this process and the ones that it starts write afterwards can be read by its user alone, or with
    `project.share_with_group` by the user's group as well: movement data is health data.

    Raises:
        SettingsError: no file, invalid TOML, an unknown key or an invalid value.
    """
    path = _find(Path(start) if start is not None else Path(os.environ.get("HAR_ROOT") or Path.cwd()))
    content = read_toml(path)
    refuse_mistaken(os.environ, Settings)
    try:
        settings = Settings(**content)
    except (ValidationError, SourceError) as error:
        raise _explain(path, error) from error
    narrow_umask(share_with_group=settings.project.share_with_group)
    # Set last: as an ordinary value, `root` would be overridden by HAR_ROOT, which may be a folder below it.
    return settings.model_copy(update={"root": path.parent.resolve()})


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file in UTF-8, with or without a byte-order mark.

    Raises:
        SettingsError: it cannot be read, is not in UTF-8, or is no TOML; with the line.
    """
    try:
        raw = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise SettingsError(
            where=str(path),
            expected="a file that can be read",
            got=reason(error),
            remedy="Check that you may read it, then run the same command again.",
        ) from error
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in raw:
        raise _not_utf8(path, "UTF-16 text, or binary content")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start)
        shown = raw.splitlines()[line].decode("cp1252", errors="replace").strip()
        raise _not_utf8(path, f"another encoding in line {line + 1}: {shown}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            where=str(path), expected="valid TOML", got=str(error), remedy="Fix the line; strings need quotes."
        ) from error


def _not_utf8(path: Path, got: str) -> SettingsError:
    return SettingsError(
        where=str(path),
        expected="text in UTF-8",
        got=got,
        remedy="Save the file as UTF-8; editors name it in the dialog to save, or at the bottom of the window.",
    )


def narrow_umask(*, share_with_group: bool) -> None:
    """Keep others, and by default also the group, out of new files and folders; a narrower umask stays as it is."""
    before = os.umask(0o077)
    os.umask(before | (0o027 if share_with_group else 0o077))


def _find(start: Path) -> Path:
    if start.is_file():
        return start
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise SettingsError(
        where=str(start),
        expected=f"a {FILE_NAME} here or in a folder above",
        got="none",
        remedy="Change to the project's folder, or name it in HAR_ROOT.",
    )


def _explain(path: Path, error: ValidationError | SourceError) -> SettingsError:
    if isinstance(error, SourceError):
        return SettingsError(
            where="HAR_ variables",
            expected="a value (JSON for lists)",
            got=str(error),
            remedy="Fix or unset the variable.",
        )
    first = error.errors()[0]
    keys = [str(part) for part in first["loc"]]
    where = f"{path}, {'.'.join(keys)}" if keys else str(path)
    if first["type"] == "extra_forbidden":
        known = list(_keys_at(Settings, keys[:-1]))
        return SettingsError(
            where=where,
            expected="a known key",
            got=f"{keys[-1]!r}",
            remedy=did_you_mean(keys[-1], known) or f"Keys of this section: {', '.join(known)}.",
        )
    if first["type"] == "missing":
        return SettingsError(where=where, expected="a value", got="none", remedy=f"Add {'.'.join(keys)}.")
    got = repr(first["input"]) if not isinstance(first["input"], dict) else "this combination"
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return SettingsError(
        where=where, expected=expected, got=got, remedy="Fix the value in har.toml, or the HAR_ variable that sets it."
    )


def _keys_at(model: Any, keys: list[str]) -> Iterator[str]:
    for key in keys:
        if key.isdigit():
            continue
        annotation = model.model_fields[key].annotation
        arguments = [part for part in getattr(annotation, "__args__", ()) if hasattr(part, "model_fields")]
        model = arguments[0] if arguments else annotation
    yield from (name for name in model.model_fields if name != "root")
