"""The hot store that the settings name."""

from __future__ import annotations

from har.settings import Settings
from har.streaming.state._redis import RedisHotStore
from har.streaming.state._sqlite import SqliteHotStore
from har.streaming.state._state import HotStore

HOT_FILE = "hot.sqlite"
"""In `paths.stream`."""


def open_hot(settings: Settings) -> HotStore:
    """The hot store of a project; nothing is reached before its first use, so it may be away.

    Raises:
        SettingsError: it is a server, and its client is not installed.
    """
    hot = settings.stream.hot
    keep_us = round(hot.keep_h * 3_600_000_000)
    if hot.address:
        return RedisHotStore(hot.address, f"har:{settings.project.name}:", keep_us)
    return SqliteHotStore(settings.path("stream") / HOT_FILE, keep_us)
