"""The hot store that the settings name."""

from __future__ import annotations

from har.settings import Settings
from har.streaming._passwords import read_password
from har.streaming.state._redis import RedisHotStore
from har.streaming.state._sqlite import SqliteHotStore
from har.streaming.state._state import HotStore

HOT_FILE = "hot.sqlite"
"""In `paths.stream`."""


def open_hot(settings: Settings, *, read_only: bool = False) -> HotStore:
    """The hot store of a project; nothing is reached before its first use, so it may be away.

    Args:
        settings: `[stream.hot]`, and the folder of the file.
        read_only: a file is opened without writing anything beside it, and has to be there.

    Raises:
        SettingsError: it is a server, and its client is not installed, or the file of its password cannot be read.
    """
    hot = settings.stream.hot
    keep_us = round(hot.keep_h * 3_600_000_000)
    if hot.address:
        password = ""
        if hot.password_file is not None:
            password = read_password(settings.root / hot.password_file, "stream.hot.password_file")
        return RedisHotStore(hot.address, f"har:{settings.project.name}:", keep_us, password=password)
    return SqliteHotStore(settings.path("stream") / HOT_FILE, keep_us, read_only=read_only)
