"""The forms that messages come in, one file each that defines `FORMAT`: a new one is one more file."""

from har.streaming.envelope.formats._message import Arrays, Fields, Format, Head, Message, Packed, Rows
from har.streaming.envelope.formats._registry import find_format, format_of, formats

__all__ = [
    "Arrays",
    "Fields",
    "Format",
    "Head",
    "Message",
    "Packed",
    "Rows",
    "find_format",
    "format_of",
    "formats",
]
