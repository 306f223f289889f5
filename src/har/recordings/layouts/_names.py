"""Subject, session and activity from paths by a pattern such as `{subject}/{session}_{activity}.csv`; valid names."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from har.errors import FileNameError, SettingsError
from har.log_lines import LETTERS, SESSION, SUBJECT

_FIELD = re.compile(r"\{(\w+)\}|(\*)")
_OTHERS = re.compile(f"[^A-Za-z0-9.{LETTERS}-]+")
_OTHERS_IN_SESSION = re.compile(f"[^A-Za-z0-9._{LETTERS}-]+")
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
        self._regex = re.compile(f"(?:.*/)?{''.join(parts)}", re.IGNORECASE)

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
                got="/".join(path.parts[-3:]),
                remedy="Give the pattern of the paths, for example -o 'pattern={subject}/{session}.csv'.",
            )
        return match.groupdict()


def plain(text: str, *, underscore: bool = False) -> str:
    """A valid part of an inbox file's name: letters, digits, '.' and '-' stay, the rest becomes '-'."""
    composed = unicodedata.normalize("NFC", text)
    return (_OTHERS_IN_SESSION if underscore else _OTHERS).sub("-", composed).strip("-").lstrip(".-") or "-"


def name_key(text: str) -> str:
    """Equal for names that a file system, or a person, would take for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def lost_letters(text: str) -> list[str]:
    """The letters, digits and marks of a name that the inbox cannot have."""
    kept = {one for one in unicodedata.normalize("NFC", text) if not _OTHERS.fullmatch(one)}
    return [
        one for one in unicodedata.normalize("NFC", text) if one not in kept and unicodedata.category(one)[0] in "LNM"
    ]


def valid_subject(name: str) -> bool:
    """Whether a subject may have that name."""
    return re.fullmatch(SUBJECT, name) is not None and name != "-"


def valid_session(name: str) -> bool:
    """Whether a session may have that name."""
    return re.fullmatch(SESSION, name) is not None
