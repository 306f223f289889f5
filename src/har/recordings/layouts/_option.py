"""The error for an option of `har import` with an invalid value."""

from __future__ import annotations

from har.errors import SettingsError


def option_error(option: str, expected: str, got: str) -> SettingsError:
    """The error for an option of `har import` with an invalid value."""
    return SettingsError(
        where=f"har import, option {option}",
        expected=expected,
        got=repr(got),
        remedy="`har import --list` describes the options.",
    )
