"""`har stream send` and `har stream replay`: the reference client of devices, and recordings as if from devices."""

from __future__ import annotations

import datetime as dt
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from har_cli._shared import DONE_IN_PART, day, out

if TYPE_CHECKING:
    from har.settings import Settings
    from har.streaming.client import Delivered, Made, Spool, Stretch

To = Annotated[
    str,
    typer.Option(
        help="Where to: queue (of this project), http://HOST:PORT of its online service, mqtt or kafka as in har.toml, "
        "mqtt:HOST:PORT, kafka:HOST:PORT."
    ),
]
SpoolFile = Annotated[
    Path | None,
    typer.Option("--spool", help="File that keeps messages until they are safe. Default: send.spool in paths.stream."),
]
TokenFile = Annotated[Path | None, typer.Option(help="File of the token that the online service asks for.")]
Again = Annotated[float, typer.Option(min=0.1, help="Seconds without an acknowledgement, then a message goes again.")]
Patience = Annotated[float, typer.Option(min=0, help="Give up after so many seconds without any acknowledgement.")]
Form = Annotated[str, typer.Option("--format", help="Of messages: msgpack, json or arrow.")]
Seconds = Annotated[float, typer.Option("--message-s", min=0.02, help="Seconds of samples in a message.")]


def send(
    recording: Annotated[
        Path | None,
        typer.Argument(help="<date>/<subject>_<session>.csv or .parquet; - for lines of the standard input."),
    ] = None,
    to: To = "queue",
    subject: Annotated[str, typer.Option(help="Whose samples; by default as the file is named.")] = "",
    device: Annotated[str, typer.Option(help="Of which device.")] = "",
    session: Annotated[str, typer.Option(help="Of which session; for - a new name by default.")] = "",
    date: Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Of the recording.")] = None,
    speed: Annotated[float, typer.Option(min=0, help="1: as it was recorded, 10: ten times as fast, 0: at once.")] = 0,
    message_s: Seconds = 1.0,
    form: Form = "msgpack",
    spool: SpoolFile = None,
    token_file: TokenFile = None,
    again_s: Again = 10.0,
    patience_s: Patience = 60.0,
) -> None:
    """Send a recording, or what the spool still holds, and wait until it is on the project's disk.

    May be ended, killed and started again: each message arrives, and counts once. Exit code 3: some did not.
    """
    from har.settings import load_settings
    from har.streaming.client import Spool, cut, form_of, from_files, lines, named_file, paced
    from har.streaming.envelope import StreamKey

    settings = load_settings()
    made_of = form_of(settings, seconds=message_s, format=form)
    kept = Spool(spool or settings.path("stream") / "send.spool")
    live = str(recording) == "-"
    try:
        feed: Iterator[Made | None] = iter(())
        if live:
            if not subject:
                raise typer.BadParameter("- needs --subject")
            key = StreamKey(subject, device or "terminal", session or _new_name("live"))
            feed = lines(sys.stdin, key, made_of, first=kept.following(key))
        elif recording is not None:
            file = named_file(recording, subject=subject, session=session, date=day(date))
            feed = paced(cut(from_files([file], settings, device=device), made_of), speed)
        _deliver(feed, kept, to, settings, token_file, again_s, patience_s, live=live)
    finally:
        kept.close()


def replay(
    to: To = "queue",
    source: Annotated[str, typer.Option("--from", help="lake, inbox, or another folder like the inbox.")] = "lake",
    subject: Annotated[list[str] | None, typer.Option(help="These only; by default all.")] = None,
    date: Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="This day only.")] = None,
    speed: Annotated[float, typer.Option(min=0, help="1: as it was recorded, 10: ten times as fast, 0: at once.")] = 1,
    seconds: Annotated[float, typer.Option(min=0, help="Of each session's samples at most; 0: all.")] = 0,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Keep times and names of sessions: into another project only.")
    ] = False,
    message_s: Seconds = 1.0,
    form: Form = "msgpack",
    spool: SpoolFile = None,
    token_file: TokenFile = None,
    again_s: Again = 10.0,
    patience_s: Patience = 60.0,
) -> None:
    """Send recordings as if their devices measured now, all subjects at once, in sessions of a new name.

    Exit code 3: some messages did not arrive; `har stream send` sends what the spool holds.
    """
    from har.settings import load_settings
    from har.streaming.client import Spool, cut, form_of, in_time_order, paced, renamed, to_the_present

    settings = load_settings()
    made_of = form_of(settings, seconds=message_s, format=form)
    stretches = _recorded(source, settings, subject or [], day(date))
    if not as_recorded:
        named = renamed(stretches, _new_name("replay"))
        now_us, length_s = time.time_ns() // 1000, seconds or float("inf")
        pause_s = max(1.0, 2 * settings.recordings.max_gap_s)
        moved = to_the_present(named, made_of, now_us, speed=speed, seconds=length_s, pause_s=pause_s)
        stretches = iter(moved)
    messages = cut(stretches, made_of)
    feed = paced(in_time_order(messages) if as_recorded else sorted(messages, key=lambda one: one.end_us), speed)
    kept = Spool(spool or settings.path("stream") / "send.spool")
    try:
        _deliver(feed, kept, to, settings, token_file, again_s, patience_s, live=False)
    finally:
        kept.close()


def _recorded(source: str, settings: Settings, subjects: list[str], date: dt.date | None) -> Iterator[Stretch]:
    from har.streaming.client import from_inbox, from_lake

    if source == "lake":
        return from_lake(settings, subjects=subjects, date=date)
    folder = None if source == "inbox" else Path(source)
    found = from_inbox(settings, folder, date)
    return (stretch for stretch in found if not subjects or stretch.key.subject in subjects)


def _deliver(
    feed: Iterator[Made | None],
    kept: Spool,
    to: str,
    settings: Settings,
    token_file: Path | None,
    again_s: float,
    patience_s: float,
    *,
    live: bool,
) -> None:
    from har.streaming.client import AHEAD, deliver, open_link

    link = open_link(to, settings, token_file=token_file)
    try:
        done = deliver(feed, kept, link, again_s=again_s, patience_s=patience_s, ahead=None if live else AHEAD)
    finally:
        link.close()
    _say(done)


def _say(done: Delivered) -> None:
    out.print(
        f"{done.durable} messages are on the project's disk, {done.waiting} wait in the spool, "
        f"{len(done.refused)} were refused.",
        highlight=False,
    )
    if done.why:
        out.print(done.why, highlight=False)
    for reason in done.refused[:3]:
        out.print(reason, highlight=False)
    if done.waiting or done.refused:
        raise typer.Exit(DONE_IN_PART)


def _new_name(kind: str) -> str:
    return f"{kind}-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
