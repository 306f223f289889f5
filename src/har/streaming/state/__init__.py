"""Each subject's present state, in a hot store: SQLite, or a server that speaks Redis's protocol."""

from har.streaming.state._open import HOT_FILE, open_hot
from har.streaming.state._sqlite import open_read_only
from har.streaming.state._state import Answer, DeviceHealth, HotStore, Signal, SubjectState

__all__ = ["HOT_FILE", "Answer", "DeviceHealth", "HotStore", "Signal", "SubjectState", "open_hot", "open_read_only"]
