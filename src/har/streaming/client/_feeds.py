"""Feeds: messages as fast as they are made, at the pace that they were recorded in, or from lines of text."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

import numpy as np

from har.errors import MalformedRowError
from har.streaming.client._message import Form, Made, make
from har.streaming.envelope import StreamKey

_FLUSH_S = 2.0


def paced(
    messages: Iterable[Made],
    speed: float,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Made | None]:
    """Each message when its last sample would have been measured; `None` until then.

    Args:
        messages: in the order of `end_us`.
        speed: 1: as they were recorded; 10: ten times as fast; 0: at once.
        clock: in seconds.
    """
    began: float | None = None
    first_us = 0
    for message in messages:
        if began is None:
            began, first_us = clock(), message.end_us
        while speed and clock() < began + (message.end_us - first_us) / 1e6 / speed:
            yield None
        yield message


def lines(
    source: TextIO,
    key: StreamKey,
    form: Form,
    *,
    first: int = 0,
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
) -> Iterator[Made | None]:
    """Messages of samples that come as lines, `C` numbers with commas or blanks between them, while they are measured.

    The first sample of each message gets the present time. A message that is not full is made after two seconds without
    a line, and at the end.

    Args:
        source: such as the standard input.
        key: the stream.
        form: of the messages.
        first: sequence of the first message.
        now_us: wall clock, µs since 1970.

    Raises:
        MalformedRowError: a line is none of numbers, or has too few or too many.
    """
    read: queue.Queue[str | None] = queue.Queue(100_000)
    threading.Thread(target=_read, args=(source, read), daemon=True).start()
    rows: list[list[float]] = []
    number, sequence, since_us = 0, first, 0
    while True:
        try:
            line = read.get(timeout=0.0 if not rows else 0.05)
        except queue.Empty:
            line = ""
        if line is None or (rows and now_us() - since_us > _FLUSH_S * 1e6 and not line) or len(rows) >= form.samples:
            if rows:
                times = since_us + np.round(np.arange(len(rows)) * 1e6 / form.rate_hz).astype(np.int64)
                yield make(key, sequence, times, np.array(rows, np.float32), form, "")
                rows, sequence = [], sequence + 1
            if line is None:
                return
        if not line:
            yield None
            continue
        number += 1
        if not rows:
            since_us = now_us()
        rows.append(_numbers(line, number, len(form.channels)))


def _read(source: TextIO, read: queue.Queue[str | None]) -> None:
    for line in source:
        if line.strip():
            read.put(line.strip())
    read.put(None)


def _numbers(line: str, number: int, count: int) -> list[float]:
    try:
        row = [float(text) for text in line.replace(",", " ").split()]
    except ValueError:
        row = []
    if len(row) != count:
        raise MalformedRowError(
            where="standard input",
            expected=f"{count} numbers",
            got=repr(line[:80]),
            remedy="Write one sample per line, in the order of the project's channels.",
            line=number,
        )
    return row
