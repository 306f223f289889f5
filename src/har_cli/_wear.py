"""What `har import` and `har recordings` say about pauses, sleep, non-wear and calibration."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from har.importing import Calibrated, Staged, Survey
    from har.plausibility import Calibration
    from har.settings import Settings

_SHOWN = 5
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NOTABLE_MG = 10.0
"""mg; an error at rest from which calibration is suggested: van Hees 2014 leave less than that."""


def print_wear(found: Survey, settings: Settings, out: Console, *, suggest: bool) -> None:
    """The longest pauses, sleep, non-wear and the error at rest of the staged recordings."""
    _print_gaps(found.staged, settings, out)
    asleep = [one for one in found.staged if one.quality.idle_s]
    if asleep:
        seconds = sum(one.quality.idle_s for one in asleep)
        out.print(
            f"The sensor slept (its last values, or zeros, are repeated): {span(seconds)} in {len(asleep)} of "
            f"{len(found.staged)} recordings."
        )
    _print_nonwear(found.staged, settings, out)
    _print_error(found.staged, out, suggest=suggest)


def print_calibrated(done: list[Calibrated], out: Console) -> None:
    """What `--calibrate` did."""
    for one in done[:_SHOWN]:
        if one.files:
            assert one.calibration is not None  # noqa: S101  it was applied
            out.print(f"calibrated {escape(one.source)}: {in_words(one.calibration)}")
        else:
            out.print(f"[yellow]not calibrated[/] {escape(f'{one.source}: {one.why_not}')}")
    if len(done) > _SHOWN:
        files = sum(one.files > 0 for one in done[_SHOWN:])
        out.print(f"… and {len(done) - _SHOWN} more sources, of which {files} were calibrated.")


def in_words(found: Calibration) -> str:
    """Errors, gain and offset for people."""
    text = f"{found.error_mg:.1f} mg off 1 g at rest"
    if found.after_mg is None or found.gain is None or found.offset_mg is None:
        return text
    gain = ", ".join(f"{value:.4f}" for value in found.gain)
    offset = ", ".join(f"{value:+.1f}" for value in found.offset_mg)
    return f"{text}, {found.after_mg:.1f} mg after gain {gain} and offset {offset} mg"


def span(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def clock(time_us: int, settings: Settings) -> str:
    """A moment in the project's zone."""
    moment = (_EPOCH + dt.timedelta(microseconds=time_us)).astimezone(settings.project.zone)
    return moment.isoformat(" ", "milliseconds")


def _print_gaps(staged: list[Staged], settings: Settings, out: Console) -> None:
    gaps = [(start, end, one) for one in staged for start, end in one.quality.longest_gaps]
    count = sum(one.quality.gaps for one in staged)
    if not count:
        out.print(f"Gaps longer than {settings.recordings.max_gap_s:g} s: none.")
        return
    gapped = sum(one.quality.gaps > 0 for one in staged)
    word = "gap" if count == 1 else "gaps"
    title = f"{count:,} {word} longer than {settings.recordings.max_gap_s:g} s in {gapped} of {len(staged)} recordings"
    table = Table("recording", "from", "to", "length", title=f"{title}: the longest")
    for start, end, one in sorted(gaps, key=lambda gap: gap[0] - gap[1])[:_SHOWN]:
        name = f"{one.file.date} {one.file.subject}_{one.file.session}"
        table.add_row(escape(name), clock(start, settings), clock(end, settings), span((end - start) / 1e6))
    out.print(table)


def _print_nonwear(staged: list[Staged], settings: Settings, out: Console) -> None:
    known = [one for one in staged if one.quality.nonwear_s is not None]
    off = [one for one in known if one.quality.nonwear]
    if not off:
        return
    seconds = sum(one.quality.nonwear_s or 0.0 for one in off)
    start, end = max((interval for one in off for interval in one.quality.nonwear), key=lambda one: one[1] - one[0])
    out.print(
        f"Not worn: {span(seconds)} in {len(off)} of the {len(known)} recordings of an hour or more, the longest from "
        f"{clock(start, settings)} for {span((end - start) / 1e6)}. Nothing is left out."
    )


def _print_error(staged: list[Staged], out: Console, *, suggest: bool) -> None:
    known = [one.quality.calibration for one in staged if one.quality.calibration is not None]
    if not known:
        return
    worst = max(known, key=lambda one: one.error_mg)
    if worst.error_mg < NOTABLE_MG:
        out.print(f"The acceleration at rest is at most {worst.error_mg:.1f} mg off 1 g (mean of a recording).")
        return
    mends = [one for one in known if one.usable and one.error_mg >= NOTABLE_MG]
    out.print(
        f"The acceleration at rest is off 1 g by up to {worst.error_mg:.1f} mg (mean of a recording)"
        + (f"; {in_words(mends[0])}." if mends else f", and cannot be calibrated: {escape(worst.reason)}.")
        + (" Not applied: --calibrate does." if mends and suggest else "")
    )
