"""Where messages come from: one file per source, behind `Source`."""

from har.streaming.sources._source import Delivery, Source

__all__ = ["Delivery", "Source"]
