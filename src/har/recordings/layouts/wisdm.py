"""WISDM: the phone set of 2011 (Kwapisz et al., raw text) and the phone and watch set of 2019 (Weiss et al.), 20 Hz.

2011: `WISDM_ar_v1.1_raw.txt`, lines `user,activity,stamp,x,y,z;` in m/s², without a gyroscope. Known faults: rows cut
short, several rows in one line, stamps of zero, `,` before the `;`.
2019: `raw/{phone,watch}/{accel,gyro}/data_<subject>_{accel,gyro}_{phone,watch}.txt`, lines
`subject,code,stamp,x,y,z;` in m/s² and rad/s; accelerometer and gyroscope have separate stamps. Stamps count
nanoseconds since the device was switched on.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from har.errors import NotARecordingError, reason
from har.recordings.layouts._align import on_stamps_of
from har.recordings.layouts._layout import Layout, RawRecording, Signal, Source
from har.recordings.layouts._tables.text import TRAILING, Rows, number_rows
from har.recordings.layouts._tree import child

CODES = dict(
    zip(
        "ABCDEFGHIJKLMOPQRS",
        [
            "walking",
            "jogging",
            "stairs",
            "sitting",
            "standing",
            "typing",
            "teeth",
            "soup",
            "chips",
            "pasta",
            "drinking",
            "sandwich",
            "kicking",
            "catch",
            "dribbling",
            "writing",
            "clapping",
            "folding",
        ],
        strict=True,
    )
)
"""2019: the activities by letter (there is no N), as in the published activity_key.txt."""
_NAME_2019 = re.compile(r"data_(?P<subject>\d+)_accel_(?P<device>phone|watch)\.txt", re.IGNORECASE)
_PLACEMENTS = {"phone": "pocket", "watch": "wrist"}
_COLUMNS = ("subject", "activity", "stamp", "x", "y", "z")
_AXES = ("x", "y", "z")
_BACK_US = 1_000_000
"""A larger backward step starts a new session; rows within it are sorted by the import."""


def _find(source: Source) -> list[Path]:
    device = source.choice("device", (*_PLACEMENTS, "both"), default="watch")
    wanted = _PLACEMENTS if device == "both" else (device,)
    return source.files("WISDM_ar_*_raw.txt", *(f"*data_*_accel_{one}.txt" for one in wanted))


def _read(path: Path, source: Source) -> Iterator[RawRecording]:
    match = _NAME_2019.fullmatch(path.name)
    if match is None:
        yield from _read_2011(path)
        return
    device = match["device"].lower()
    partner = source.beside(
        child(path.parent.parent, "gyro") / path.name, re.sub("_accel_", "_gyro_", path.name, flags=re.IGNORECASE)
    )
    if not partner.is_file():
        raise NotARecordingError.missing(str(path), str(partner), "Unpack all of the raw folder.")
    gyroscope = _rows(partner)
    for number, run in enumerate(_runs(_rows(path)), 1):
        # Samples are matched within one activity only: either clock may have been set between activities.
        yield _matched(path, run, gyroscope, number, source, subject=match["subject"], device=device)
        gyroscope = Rows(gyroscope.where, gyroscope.frame, gyroscope.numbers)  # count its faults once only


def _matched(
    path: Path, run: Rows, gyroscope: Rows, number: int, source: Source, *, subject: str, device: str
) -> RawRecording:
    times_us = _stamps(run)
    rotation, valid = np.zeros((len(times_us), 3)), np.zeros(len(times_us), np.bool_)
    codes, other_codes = run.frame["activity"], gyroscope.frame["activity"]
    other_us, others = _stamps(gyroscope), gyroscope.xyz(_AXES)
    for code in codes.unique(maintain_order=True):
        rows, other_rows = (codes == code).to_numpy(), (other_codes == code).to_numpy()
        rotation[rows], valid[rows] = on_stamps_of(
            times_us[rows], other_us[other_rows], others[other_rows], source.settings.recordings.max_gap_s
        )
    faults = run.faults + gyroscope.faults
    faults += Counter({"samples without a matching sample of the other sensor, left out": int((~valid).sum())})
    return RawRecording(
        where=str(path),
        subject=subject,
        session=device if number == 1 else f"{device}-run{number}",
        times_us=times_us[valid],
        clock="device",
        accelerometer=Signal(run.xyz(_AXES)[valid], "m/s^2"),
        gyroscope=Signal(rotation[valid], "rad/s"),
        labels=codes.replace(CODES).filter(pl.Series(valid)),
        placement=_PLACEMENTS[device],
        device=device,
        faults=faults,
    )


def _read_2011(path: Path) -> Iterator[RawRecording]:
    rows = _rows(path)
    faults: Counter[str] = rows.faults
    for (subject,), user in rows.frame.with_row_index("line").group_by(["subject"], maintain_order=True):
        user_rows = Rows(rows.where, user.drop("line"), rows.numbers[user["line"].to_numpy()], faults)
        faults = Counter()  # count the file's faults once only
        for number, run in enumerate(_runs(user_rows), 1):
            yield RawRecording(
                where=f"{path}, user {subject}",
                subject=f"u{subject:0>2}",
                session=f"run{number:02d}",
                times_us=_stamps(run),
                clock="device",
                accelerometer=Signal(run.xyz(_AXES), "m/s^2"),
                labels=run.frame["activity"],
                placement="pocket",
                device="phone",
                faults=run.faults,
            )


def _rows(path: Path) -> Rows:
    """The complete rows with a stamp other than zero."""
    content = path.read_bytes()
    faults = Counter({TRAILING: len(re.findall(rb",[ \t]*;", content))})
    # A row ends at ';', not at the end of a line.
    text = re.sub(rb",[ \t]*(?=\n)", b"", content.replace(b"\r", b"").replace(b";", b"\n"))
    try:
        frame = pl.read_csv(
            io.BytesIO(text),
            has_header=False,
            schema=dict.fromkeys(_COLUMNS, pl.String),
            truncate_ragged_lines=True,
            quote_char=None,
        )
    except pl.exceptions.PolarsError as error:
        raise NotARecordingError(
            where=str(path),
            expected="lines of user,activity,stamp,x,y,z;",
            got=reason(error),
            remedy="Download it again.",
        ) from error
    frame = frame.select(pl.all().str.strip_chars().replace("", None)).filter(~pl.all_horizontal(pl.all().is_null()))
    rows = number_rows(str(path), frame, ["stamp", *_AXES])
    rows = Rows(rows.where, rows.frame, rows.numbers, rows.faults + faults)
    rows = rows.keep((rows.frame["stamp"] > 0).to_numpy(), "rows with a zero stamp")
    return rows.keep(rows.frame["subject"].str.contains(r"^\d+$").fill_null(False).to_numpy(), "rows without a user")


def _stamps(rows: Rows) -> NDArray[np.int64]:
    return np.round(rows.frame["stamp"].to_numpy() / 1e3).astype(np.int64)


def _runs(rows: Rows) -> Iterator[Rows]:
    """The rows, divided where stamps step back."""
    if not len(rows.numbers):
        return
    back = np.flatnonzero(np.diff(_stamps(rows)) < -_BACK_US) + 1
    bounds = [0, *back.tolist(), len(rows.numbers)]
    faults = rows.faults + Counter({"backward steps of the stamps, session split there": len(back)})
    for first, last in pairwise(bounds):
        yield Rows(rows.where, rows.frame[first:last], rows.numbers[first:last], faults)
        faults = Counter()


LAYOUT = Layout(
    "wisdm",
    "WISDM raw text of 2011 (phone, accelerometer) and of 2019 (phone and watch), 20 Hz",
    _find,
    _read,
    {"device": "for the set of 2019: watch (default), phone or both"},
)
