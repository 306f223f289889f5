"""Where messages come from: one file per source, behind `Source`.

Each module here without a leading underscore is one source: it defines `SOURCE`, and its file name is what
`stream.sources` of har.toml calls it.
"""

from har.streaming.sources._registry import find_source, open_source, source_kinds
from har.streaming.sources._source import Delivery, Source, SourceKind

__all__ = ["Delivery", "Source", "SourceKind", "find_source", "open_source", "source_kinds"]
