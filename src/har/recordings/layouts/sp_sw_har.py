"""Matey-Sanz et al. 2023: a smartwatch on the wrist and a phone in the pocket, worn together, 23 subjects.

`DATA/sXX/sXX_YY_{sp,sw}.csv` with epoch milliseconds, m/s² and rad/s, nominally 100 Hz, with a label in every row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from har.errors import FileNameError
from har.recordings.layouts._layout import Layout, RawRecording, Signal, Source
from har.recordings.layouts._tables.text import text_rows

_NAME = re.compile(r"(?P<subject>s\d+)_(?P<take>\d+)_(?P<code>sp|sw)\.csv", re.IGNORECASE)
_CODES = {"watch": ("sw",), "phone": ("sp",), "both": ("sp", "sw")}
_DEVICES = {"sw": ("watch", "wrist"), "sp": ("phone", "pocket")}
_ACCELEROMETER = ("x_acc", "y_acc", "z_acc")
_GYROSCOPE = ("x_gyro", "y_gyro", "z_gyro")


def _find(source: Source) -> list[Path]:
    device = source.choice("device", _CODES, default="watch")
    return source.files(*(f"*_{code}.csv" for code in _CODES[device]))


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise FileNameError.not_as_published(str(path), expected="sXX_YY_sp.csv or sXX_YY_sw.csv", got=path.name)
    rows = text_rows(
        path, str(path), numbers=[*_ACCELEROMETER, *_GYROSCOPE, "timestamp"], texts=["label"], separator=","
    )
    rows = rows.keep((rows.frame["timestamp"] > 0).to_numpy(), "rows with a zero stamp")
    device, placement = _DEVICES[match["code"].lower()]
    yield RawRecording(
        where=str(path),
        subject=match["subject"].lower(),
        session=f"{match['take']}_{match['code'].lower()}",
        times_us=np.round(rows.frame["timestamp"].to_numpy() * 1e3).astype(np.int64),
        clock="utc",
        accelerometer=Signal(rows.xyz(_ACCELEROMETER), "m/s^2"),
        gyroscope=Signal(rows.xyz(_GYROSCOPE), "rad/s"),
        labels=rows.frame["label"],
        placement=placement,
        device=device,
        faults=rows.faults,
    )


LAYOUT = Layout(
    "sp-sw-har",
    "Matey-Sanz et al. 2023, smartwatch and phone worn together (100 Hz, 5 activities)",
    _find,
    _read,
    {"device": "watch (default), phone or both"},
)
