"""Where answered windows and their samples go from the outbox: the lake, and the history."""

from har.streaming.sinks._deliveries import Deliveries
from har.streaming.sinks._lake import LakeSink, Sunk
from har.streaming.sinks._recordings import FILE

__all__ = ["FILE", "Deliveries", "LakeSink", "Sunk"]
