"""The message of a device: many samples, with whose, when, how fast and in which units; numpy and msgspec only."""

from har.streaming.envelope._envelope import Envelope, StreamKey

__all__ = ["Envelope", "StreamKey"]
