"""Each subject's present state, in a hot store: SQLite, or a server that speaks Redis's protocol."""

from har.streaming.state._state import Answer, DeviceHealth, HotStore, Signal, SubjectState

__all__ = ["Answer", "DeviceHealth", "HotStore", "Signal", "SubjectState"]
