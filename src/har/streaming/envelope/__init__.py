"""The message of a device: many samples, with whose, when, how fast and in which units; numpy and msgspec only.

`decode` reads JSON, MessagePack and Arrow IPC, `encode` writes them, `peek` sees whose a message is. A further form is
one more file of `formats`.
"""

from har.streaming.envelope._decode import decode, encode
from har.streaming.envelope._envelope import Envelope, StreamKey
from har.streaming.envelope._limits import Limits
from har.streaming.envelope._peek import Glance, peek
from har.streaming.envelope.formats import Arrays

__all__ = ["Arrays", "Envelope", "Glance", "Limits", "StreamKey", "decode", "encode", "peek"]
