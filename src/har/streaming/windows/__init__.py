"""Windows in progress of many streams: reorder, find gaps, resample, cut. No clock, no file: a message in, windows out.

The same samples give the same windows as a file of them that is ingested and scored at night.
"""

from har.streaming.taken import Fate, Stretch, Taken, Window
from har.streaming.windows._assembly import Assembly, Tracks
from har.streaming.windows._stream import lake_session

__all__ = ["Assembly", "Fate", "Stretch", "Taken", "Tracks", "Window", "lake_session"]
