"""From files to canonical samples: what lies in the inbox, read, cleaned and checked, or put aside with a reason.

In: daily CSV or Parquet files, in the units that `har.toml` declares. Out: one row per sample in m/s² and rad/s, UTC,
cut into gap-free segments. A file that cannot be read so raises a `RecordingError` that names its line and the way out.
"""

from har.recordings._canonical import FLAGS, canonical_schema
from har.recordings._contract import sample_contract
from har.recordings._inbox import Inbox, InboxFile, StrayFile, inbox_files
from har.recordings._practice import replay_round
from har.recordings._quarantine import quarantine
from har.recordings._reading import Quality, Recording, read_recording
from har.recordings._replay import FIRST_DAY, Replay, fits_sample, replay
from har.recordings._sample import ACTIVITIES as SAMPLE_ACTIVITIES
from har.recordings._sample import SampleRecording, sample_recordings

__all__ = [
    "FIRST_DAY",
    "FLAGS",
    "SAMPLE_ACTIVITIES",
    "Inbox",
    "InboxFile",
    "Quality",
    "Recording",
    "Replay",
    "SampleRecording",
    "StrayFile",
    "canonical_schema",
    "fits_sample",
    "inbox_files",
    "quarantine",
    "read_recording",
    "replay",
    "replay_round",
    "sample_contract",
    "sample_recordings",
]
