"""Passwords of stores, which are in files that the settings name."""

from __future__ import annotations

from pathlib import Path

from har.errors import SettingsError, reason


def read_password(path: Path, setting: str) -> str:
    """The password in a file.

    Args:
        path: of the file.
        setting: that names it, for the error.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            where=setting,
            expected=f"the password in {path}",
            got=reason(error),
            remedy="Write it into that file, which only its owner should be able to read (chmod 600).",
        ) from error
