"""WISDM: the phone set of 2011 (Kwapisz et al., raw text) and the phone and watch set of 2019 (Weiss et al.), 20 Hz.

2011: `WISDM_ar_v1.1_raw.txt`, lines `user,activity,stamp,x,y,z;` in m/s², without a gyroscope. Known faults: rows cut
in half, several rows in one line, stamps of zero, `,` before the `;`.
2019: `raw/{phone,watch}/{accel,gyro}/data_<subject>_{accel,gyro}_{phone,watch}.txt`, lines
`subject,code,stamp,x,y,z;` in m/s² and rad/s; accelerometer and gyroscope have stamps of their own. Stamps count
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

from har.errors import NotARecordingError, SettingsError
from har.recordings.layouts._align import on_stamps_of
from har.recordings.layouts._layout import Found, Layout, Signal, Source
from har.recordings.layouts._text import TRAILING, Rows, number_rows

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
"""2019: the activities by letter (there is no N), as the publishers' activity_key.txt has them."""
_NAME_2019 = re.compile(r"data_(?P<subject>\d+)_accel_(?P<device>phone|watch)\.txt")
_PLACEMENTS = {"phone": "pocket", "watch": "wrist"}
_COLUMNS = ("subject", "activity", "stamp", "x", "y", "z")
_AXES = ("x", "y", "z")
_BACK_US = 1_000_000
"""Stamps that run back by more begin another session; less is disorder, which the import sorts."""


def _find(source: Source) -> list[Path]:
    device = source.options.get("device", "watch")
    if device not in (*_PLACEMENTS, "both"):
        raise SettingsError(
            where="har import, option device", expected="watch, phone or both", got=repr(device), remedy="Mend it."
        )
    wanted = _PLACEMENTS if device == "both" else (device,)
    return source.files("WISDM_ar_*_raw.txt", *(f"*data_*_accel_{one}.txt" for one in wanted))


def _read(path: Path, source: Source) -> Iterator[Found]:
    match = _NAME_2019.fullmatch(path.name)
    if match is None:
        yield from _read_2011(path)
        return
    partner = path.parent.parent / "gyro" / path.name.replace("_accel_", "_gyro_")
    if not partner.is_file():
        raise NotARecordingError(
            where=str(path), expected=str(partner), got="no such file", remedy="Unpack all of the raw folder."
        )
    gyroscope = _rows(partner)
    for number, run in enumerate(_runs(_rows(path)), 1):
        # The two sensors are matched within one activity: between two, either clock may have been set.
        yield _matched(path, run, gyroscope, number, match["subject"], match["device"], source)
        gyroscope = Rows(gyroscope.where, gyroscope.frame, gyroscope.numbers)  # its faults are counted once


def _matched(path: Path, run: Rows, gyroscope: Rows, number: int, subject: str, device: str, source: Source) -> Found:
    times_us = _stamps(run)
    turned, there = np.zeros((len(times_us), 3)), np.zeros(len(times_us), np.bool_)
    codes, other_codes = run.frame["activity"], gyroscope.frame["activity"]
    other_us, others = _stamps(gyroscope), gyroscope.xyz(_AXES)
    for code in codes.unique(maintain_order=True):
        mine, theirs = (codes == code).to_numpy(), (other_codes == code).to_numpy()
        turned[mine], there[mine] = on_stamps_of(
            times_us[mine], other_us[theirs], others[theirs], source.settings.recordings.max_gap_s
        )
    faults = run.faults + gyroscope.faults
    faults += Counter({"samples without one of the other sensor, left out": int((~there).sum())})
    return Found(
        where=str(path),
        subject=subject,
        session=device if number == 1 else f"{device}-run{number}",
        times_us=times_us[there],
        clock="device",
        accelerometer=Signal(run.xyz(_AXES)[there], "m/s^2"),
        gyroscope=Signal(turned[there], "rad/s"),
        labels=codes.replace(CODES).filter(pl.Series(there)),
        placement=_PLACEMENTS[device],
        device=device,
        faults=faults,
    )


def _read_2011(path: Path) -> Iterator[Found]:
    rows = _rows(path)
    faults: Counter[str] = rows.faults
    for (subject,), user in rows.frame.with_row_index("line").group_by(["subject"], maintain_order=True):
        own = Rows(rows.where, user.drop("line"), rows.numbers[user["line"].to_numpy()], faults)
        faults = Counter()  # the file's are counted once
        for number, run in enumerate(_runs(own), 1):
            yield Found(
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
    """The whole rows, with stamps other than zero."""
    content = path.read_bytes()
    faults = Counter({TRAILING: len(re.findall(rb",[ \t]*;", content))})
    # ';' ends a row, wherever lines end.
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
            got=str(error).splitlines()[0][:200],
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
    """Rows between two places where the stamps run back."""
    if not len(rows.numbers):
        return
    back = np.flatnonzero(np.diff(_stamps(rows)) < -_BACK_US) + 1
    bounds = [0, *back.tolist(), len(rows.numbers)]
    faults = rows.faults + Counter({"places where stamps run back, cut there": len(back)})
    for first, last in pairwise(bounds):
        yield Rows(rows.where, rows.frame[first:last], rows.numbers[first:last], faults)
        faults = Counter()


LAYOUT = Layout(
    "wisdm",
    "WISDM raw text of 2011 (phone, accelerometer) and of 2019 (phone and watch), 20 Hz",
    _find,
    _read,
    {"device": "of the set of 2019: watch (default), phone or both"},
)
