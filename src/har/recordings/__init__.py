"""Read, clean and check the recordings in the inbox; move files that cannot be ingested to quarantine.

`inbox_files` lists the daily CSV and Parquet files. `read_recording` turns one of them into canonical samples: one row
per sample in m/s² and rad/s, UTC, divided into gap-free segments. A file that it cannot use raises a `RecordingError`
with the line and how to fix it. `is_regular` to `last_point` are the parts of resampling that streams share.
"""

from har.recordings._cleaning import fault_flags
from har.recordings._contract import breaches, resting_magnitude, sample_contract
from har.recordings._days import Part, cut_at_midnight, kept
from har.recordings._inbox import (
    UPLOADING,
    Inbox,
    InboxFile,
    StrayFile,
    inbox_entries,
    inbox_files,
    kind_of,
    odd,
    require_plain,
    shown,
)
from har.recordings._local_time import local_to_utc
from har.recordings._quarantine import quarantine
from har.recordings._reading import Quality, Recording, read_recording
from har.recordings._resampling import (
    JUDGED_US,
    REACH,
    decimation,
    follows,
    grid_flags,
    interpolate,
    is_regular,
    judged,
    last_point,
)
from har.recordings._table import CALIBRATED, NOTES
from har.recordings._wear import calibration_text, gaps_of, longest

__all__ = [
    "CALIBRATED",
    "JUDGED_US",
    "NOTES",
    "REACH",
    "UPLOADING",
    "Inbox",
    "InboxFile",
    "Part",
    "Quality",
    "Recording",
    "StrayFile",
    "breaches",
    "calibration_text",
    "cut_at_midnight",
    "decimation",
    "fault_flags",
    "follows",
    "gaps_of",
    "grid_flags",
    "inbox_entries",
    "inbox_files",
    "interpolate",
    "is_regular",
    "judged",
    "kept",
    "kind_of",
    "last_point",
    "local_to_utc",
    "longest",
    "odd",
    "quarantine",
    "read_recording",
    "require_plain",
    "resting_magnitude",
    "sample_contract",
    "shown",
]
