"""Parse subject, session and activity from paths by a pattern such as `{subject}/{session}_{activity}.csv`."""

from __future__ import annotations

import re
from pathlib import Path

from har.errors import FileNameError, SettingsError

_FIELD = re.compile(r"\{(\w+)\}|(\*)")
FIELDS = ("subject", "session", "activity", "placement", "device")


class PathPattern:
    """A pattern for the end of a file's path.

    The fields are `{subject}`, `{session}`, `{activity}`, `{placement}` and `{device}`; `*` matches anything except
    `/`. A field that occurs twice must have the same value.

    Raises:
        SettingsError: the pattern names an unknown field.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.fields: list[str] = []
        parts, last = [], 0
        for match in _FIELD.finditer(text):
            parts.append(re.escape(text[last : match.start()]))
            parts.append(self._group(match[1]) if match[1] else "[^/]*")
            last = match.end()
        parts.append(re.escape(text[last:]))
        self._regex = re.compile(f"(?:.*/)?{''.join(parts)}")

    def _group(self, name: str) -> str:
        if name not in FIELDS:
            raise SettingsError(
                where="har import, option pattern",
                expected=f"fields among {', '.join(f'{{{one}}}' for one in FIELDS)}",
                got=f"{{{name}}}",
                remedy="Use * for a part of the path to ignore.",
            )
        if name in self.fields:
            return f"(?P={name})"
        self.fields.append(name)
        return f"(?P<{name}>[^/]+?)"

    def parse(self, path: Path) -> dict[str, str]:
        """The values of the fields for a file.

        Raises:
            FileNameError: the path does not match.
        """
        match = self._regex.fullmatch(path.absolute().as_posix())
        if match is None:
            raise FileNameError(
                where=str(path),
                expected=f"a path like {self.text}",
                got=path.name,
                remedy="Give the pattern of the paths, for example -o 'pattern={subject}/{session}.csv'.",
            )
        return match.groupdict()


def plain(text: str, *, underscore: bool = False) -> str:
    """A valid part of an inbox file's name: characters other than letters, digits, '.' and '-' become '-'."""
    return re.sub(r"[^A-Za-z0-9._-]+" if underscore else r"[^A-Za-z0-9.-]+", "-", text).strip("-") or "-"
