"""A found configuration as lines of har.toml, and har.toml with these lines in it, its comments kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from har.errors import SettingsError
from har.files import write_atomically
from har.settings import read_toml


def lines_of(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """The sections and keys as har.toml has them."""
    blocks = [
        "\n".join([f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in content.items())])
        for section, content in sections.items()
    ]
    return "\n\n".join(blocks)


def edit(path: Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Set these keys in a TOML file; its other lines, and the comments behind these keys, stay as they are.

    Raises:
        SettingsError: the file cannot be edited line by line; it is not changed.
    """
    before = read_toml(path)
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    for section, content in sections.items():
        for key, value in content.items():
            _set(lines, section, key, _toml(value))
    text = "\n".join(lines)
    wanted = {**before, **{name: {**before.get(name, {}), **content} for name, content in sections.items()}}
    try:
        after = read_text(text)
    except ValueError:
        after = {}
    if after != json.loads(json.dumps(wanted)):
        raise SettingsError(
            where=str(path),
            expected="one key in one line",
            got=f"another layout of {', '.join(sections)}",
            remedy=f"Write these lines yourself:\n{lines_of(sections)}\n",
        )
    write_atomically(path, text)


def read_text(text: str) -> dict[str, Any]:
    """The content of TOML text."""
    import tomllib

    return tomllib.loads(text)


def _set(lines: list[str], section: str, key: str, value: str) -> None:
    header = re.compile(rf"\s*\[{re.escape(section)}\]\s*(#.*)?\r?$")
    first = next((number for number, line in enumerate(lines) if header.match(line)), None)
    if first is None:
        lines += [f"[{section}]", f"{key} = {value}", ""]
        return
    last = next((number for number in range(first + 1, len(lines)) if lines[number].startswith("[")), len(lines))
    named = re.compile(rf"(\s*{re.escape(key)}\s*=\s*)(.*)$")
    for number in range(first + 1, last):
        found = named.match(lines[number])
        if found:
            lines[number] = f"{found[1]}{value}{_comment(found[2])}"
            return
    while last > first + 1 and not lines[last - 1].strip():
        last -= 1
    lines.insert(last, f"{key} = {value}")


def _comment(rest: str) -> str:
    """The comment behind a value, with the space before it; "" if there is none."""
    quoted = ""
    for place, sign in enumerate(rest):
        if quoted:
            quoted = "" if sign == quoted else quoted
        elif sign in "\"'":
            quoted = sign
        elif sign == "#":
            return rest[len(rest[:place].rstrip()) :]
    return ""


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {_toml(one)}' for name, one in value.items())} }}" if value else "{}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)
