"""The embedded sample: 140 recordings of shoulder exercises, and their replay as daily uploads."""

from har.sample._recordings import ACTIVITIES as SAMPLE_ACTIVITIES
from har.sample._recordings import SampleRecording, sample_recordings
from har.sample._replay import FIRST_DAY, Replay, fits_sample, replay
from har.sample._rounds import replay_round

__all__ = [
    "FIRST_DAY",
    "SAMPLE_ACTIVITIES",
    "Replay",
    "SampleRecording",
    "fits_sample",
    "replay",
    "replay_round",
    "sample_recordings",
]
