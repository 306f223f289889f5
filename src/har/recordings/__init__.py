"""From files to canonical samples: what lies in the inbox, read, cleaned and checked, or put aside with a reason.

In: daily CSV or Parquet files, in the units that `har.toml` declares. Out: one row per sample in m/s² and rad/s, UTC,
cut into gap-free segments. A file that cannot be read so raises a `RecordingError` that names its line and the way out.
"""

from har.recordings._contract import sample_contract
from har.recordings._inbox import Inbox, InboxFile, StrayFile, inbox_files
from har.recordings._quarantine import quarantine
from har.recordings._reading import Quality, Recording, read_recording

__all__ = [
    "Inbox",
    "InboxFile",
    "Quality",
    "Recording",
    "StrayFile",
    "inbox_files",
    "quarantine",
    "read_recording",
    "sample_contract",
]
