"""A gap-free run of a stream's samples: judged, resampled where needed, cut at midnight and into windows."""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

from har.recordings import JUDGED_US, decimation, follows, grid_flags, is_regular, judged
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.taken import Stretch, Taken, Window
from har.streaming.windows._clock import Clock, stamps
from har.streaming.windows._flags import faults, may_be_faulty
from har.streaming.windows._grid import Grid
from har.streaming.windows._pieces import Pieces
from har.streaming.windows._rules import Rules
from har.streaming.windows._track import SegmentTrack


class _Message:
    """A message of the segment that is not settled."""

    __slots__ = ("before", "end", "first_us", "id", "sequence")

    def __init__(self, message_id: int, sequence: int, before: Clock, first_us: int, end: int) -> None:
        self.id = message_id
        self.sequence = sequence
        self.before = before
        self.first_us = first_us
        self.end = end


class Segment:
    """The state of a segment.

    Args:
        key: its stream.
        session: in the lake.
        number: of the segment within the session.
        last: time of the session's last sample before it, µs.
        day: ordinal of that sample's date, and the session's samples on that date.
        envelope: its first message; None: the segment is restored.
        rules: of the project.

    Samples are numbered from the segment's first one at the project's rate. Until it is judged, messages are held. A
    regular segment's samples are the source's; a `grid` has the source of a resampled one, from `grid_from` on.
    """

    __slots__ = (
        "clock",
        "date",
        "day_before",
        "day_from",
        "factor",
        "first",
        "grid",
        "grid_from",
        "grid_t0",
        "held",
        "judged",
        "key",
        "messages",
        "midnight",
        "next_stretch",
        "next_window",
        "number",
        "pieces",
        "placement",
        "rate_hz",
        "rules",
        "session",
        "t0",
    )

    def __init__(
        self,
        key: StreamKey,
        session: str,
        number: int,
        *,
        last: int,
        day: tuple[int, int],
        envelope: Envelope | None,
        rules: Rules,
    ) -> None:
        self.key = key
        self.session = session
        self.number = number
        self.clock = Clock(0, last)
        self.placement = "" if envelope is None else envelope.placement
        self.rate_hz = 0.0 if envelope is None else envelope.rate_hz
        self.rules = rules
        self.messages: list[_Message] = []
        self.held: list[tuple[int, float, NDArray[np.float32], int]] = []
        self.pieces = Pieces()
        self.grid: Grid | None = None
        self.t0 = 0
        self.judged = 0
        self.grid_from = -1
        self.grid_t0 = 0
        self.factor = 1
        self.first = self.next_window = self.next_stretch = 0
        self.date = dt.date.fromordinal(max(day[0], 1))
        self.midnight = 0
        self.day_before, self.day_from = day[1], 0

    def _begin(self, time_us: int) -> None:
        self.t0 = time_us
        day = self.date.toordinal()
        self.date, self.midnight = self.rules.day(time_us)
        if self.date.toordinal() != day:
            self.day_before = 0

    def add(self, message_id: int, envelope: Envelope, received_us: int, out: Taken) -> None:
        """Take the next message's samples; complete windows and stretches go to `out`."""
        before = self.clock
        values = envelope.samples
        base, step, self.clock = before.place(envelope.t0_us, len(values), envelope.rate_hz)
        if not self.t0:
            self._begin(base)
        self.messages.append(_Message(message_id, envelope.sequence, before, base, self.clock.number))
        if not self.judged:
            self.held.append((base, step, values, received_us))
            if self.clock.last - self.held[0][0] < JUDGED_US:
                return
            self._judge()
        elif self.grid is not None:
            self.grid.push(stamps(base, step, 0, len(values)), values)
            self._take_points(received_us)
        else:
            self._pass(base, step, values, received_us, before)
        self._advance(out)

    def close(self, out: Taken, *, goes_on: bool) -> None:
        """End the segment: everything that is left of it comes out.

        Args:
            out: gets it.
            goes_on: whether the session has more samples, after a gap.
        """
        if self.held:
            self._judge()
        if self.grid is not None:
            self._take_points(self._received(), ends=True)
        end = self.pieces.end
        if end > self.pieces.begin:
            self._cut_at_midnight(out, closing=True, goes_on=goes_on)
            self._windows(out, end)
            self._stretch(out, end)
        if self.next_window == self.first and end > self.first:
            out.short[self.key] = out.short.get(self.key, 0) + end - self.first
        out.settled.extend(message.id for message in self.messages)
        self.messages.clear()

    @property
    def day_count(self) -> int:
        """Samples of the session on the segment's last date."""
        return self.day_before + self.pieces.end - self.day_from

    def samples_held(self) -> int:
        """Samples in memory, at the project's rate or before resampling."""
        return (
            self.pieces.held()
            + sum(len(values) for _, _, values, _ in self.held)
            + (0 if self.grid is None else len(self.grid.times))
        )

    def _received(self) -> int:
        pieces = self.pieces
        return pieces.received(pieces.end - 1) if pieces.end > pieces.begin else 0

    # From the source to the project's rate

    def _judge(self) -> None:
        rules, held = self.rules, self.held
        times = np.concatenate([stamps(base, step, 0, len(values)) for base, step, values, _ in held])
        self.judged = judged(times)
        self.held = []
        if is_regular(times[: self.judged], rules.rate_hz):
            clock = Clock(0, times[0])
            for base, step, values, received in held:
                if self.grid is None:
                    self._pass(base, step, values, received, clock)
                else:
                    self.grid.push(stamps(base, step, 0, len(values)), values)
                    self._take_points(received)
                clock = Clock(clock.number + len(values), base + round((len(values) - 1) * step))
            return
        self.factor = decimation(times[: self.judged], rules.rate_hz)
        self.grid_from, self.grid_t0 = 0, int(times[0])
        self.grid = Grid(self.grid_t0, rules.interval, self.factor, 0, held[0][2].shape[1])
        for base, step, values, received in held:
            self.grid.push(stamps(base, step, 0, len(values)), values)
            self._take_points(received)

    def _pass(self, base: int, step: float, values: NDArray[np.float32], received: int, before: Clock) -> None:
        """Take samples as they are, up to the first that is not where its number puts it."""
        rules, number, size = self.rules, before.number, len(values)
        interval, start = rules.interval, self.t0
        if number >= self.judged:
            # Between the two ends of a message, samples deviate no more than at both, and the limit rises.
            half, span = interval / 2, float(base - start)
            limit = max(half, 0.01 * span) - 1
            if (
                abs(step - interval) < half - 1
                and abs(base - before.last - interval) <= half
                and abs(span - number * interval) < limit
                and abs(span + (size - 1) * step - (number + size - 1) * interval) < limit
            ):
                self.pieces.add(values, base, 0, step, received)
                return
        skipped = max(self.judged - number, 0)
        if skipped >= size:
            self.pieces.add(values, base, 0, step, received)
            return
        times = stamps(base, step, 0, size)
        intervals = np.diff(times[skipped:], prepend=times[skipped - 1] if skipped else before.last)
        good = np.abs(intervals - interval) <= interval / 2
        good &= follows(times[skipped:], start, number + skipped, rules.rate_hz)
        if good.all():
            self.pieces.add(values, base, 0, step, received)
            return
        until = skipped + int(np.argmin(good))
        self.pieces.add(values[:until], base, 0, step, received)
        self._begin_grid(received)
        assert self.grid is not None  # noqa: S101  made in the line above
        self.grid.push(times[until:], values[until:])
        self._take_points(received)

    def _begin_grid(self, received: int) -> None:
        """From the last sample on, resample."""
        pieces = self.pieces
        self.grid_from, self.grid_t0, self.factor = pieces.end - 1, pieces.last_us, 1
        first = pieces.begin
        values = pieces.values(first, pieces.end)
        self.grid = Grid(self.grid_t0, self.rules.interval, 1, 1, values.shape[1])
        # Earlier samples say whether a later one is stuck.
        self.grid.push(pieces.times(first, pieces.end), values)
        self._take_points(received)

    def _take_points(self, received: int, *, ends: bool = False) -> None:
        assert self.grid is not None  # noqa: S101  callers look
        first, points = self.grid.take(ends=ends)
        self.pieces.add(points, self.grid_t0, first, self.rules.interval, received)

    # From samples to windows and stretches

    def _advance(self, out: Taken) -> None:
        pieces, rules = self.pieces, self.rules
        limit = pieces.end
        if limit > pieces.begin and pieces.last_us >= self.midnight:
            limit = self._cut_at_midnight(out)
        if limit - self.next_window >= rules.length:
            self._windows(out, limit)
        elif pieces.end - self.next_stretch < rules.lump:
            return
        if pieces.end - self.next_stretch >= rules.lump:
            self._stretch(out, min(self._final(), limit))
        self._settle(out)

    def _windows(self, out: Taken, limit: int) -> None:
        pieces, rules, start = self.pieces, self.rules, self.next_window
        while start + rules.length <= limit:
            end = start + rules.length
            out.windows.append(
                Window(
                    self.key,
                    self.date,
                    self.session,
                    self.number,
                    pieces.time(start),
                    pieces.values(start, end),
                    pieces.received(end - 1),
                )
            )
            start += rules.stride
        self.next_window = start

    def _final(self) -> int:
        """Number after the last sample whose flags cannot change any more."""
        if self.grid is None:
            return max(self.pieces.end - self.rules.look, self.next_stretch)
        last = float(self.grid.times[-1] - self.rules.look_us - self.grid_t0) - self.rules.interval / 2
        points = self.grid_from + int(last // self.rules.interval) + 1
        return max(min(points, self.pieces.end), self.next_stretch)

    def _stretch(self, out: Taken, end: int) -> None:
        start = self.next_stretch
        if end <= start:
            return
        pieces, rules = self.pieces, self.rules
        if self.grid is None:
            first = max(start - rules.look, pieces.begin)
            last = min(end + rules.look, pieces.end)
            around = pieces.values(first, last)
            values = around[start - first : end - first].copy()
            if may_be_faulty(around, rules, self.rate_hz):
                flags = faults(pieces.times(first, last), around, rules, self.rate_hz)[start - first : end - first]
            else:
                flags = np.zeros(end - start, np.int8)
        else:
            values, flags = pieces.values(start, end), self._grid_flags(start, end)
        out.stretches.append(
            Stretch(
                self.key,
                self.date,
                self.session,
                self.number,
                pieces.times(start, end),
                values,
                flags,
                self.placement,
                self.rate_hz,
                self.grid is not None,
            )
        )
        self.next_stretch = end

    def _grid_flags(self, start: int, end: int) -> NDArray[np.int8]:
        grid, interval = self.grid, self.rules.interval
        assert grid is not None  # noqa: S101  callers look
        source = np.zeros(len(grid.times), np.int8)
        if may_be_faulty(grid.values, self.rules, self.rate_hz):
            source = faults(grid.times, grid.values, self.rules, self.rate_hz)
        flags = np.zeros(end - start, np.int8)
        # Samples up to the grid's origin are the source's; only a segment that is resampled from its start has none.
        unchanged = min(self.grid_from + 1, end) if self.grid_from else start
        if unchanged > start:
            origin = int(np.searchsorted(grid.times, self.grid_t0))
            flags[: unchanged - start] = source[origin + start - self.grid_from : origin + unchanged - self.grid_from]
        first = max(unchanged, start)
        if first < end:
            at = (grid.times - self.grid_t0).astype(np.float64)
            points = np.arange(first - self.grid_from, end - self.grid_from, dtype=np.float64) * np.float64(interval)
            flags[first - start :] = grid_flags(at, source, points, interval)[1]
        return flags

    def _cut_at_midnight(self, out: Taken, *, closing: bool = False, goes_on: bool = True) -> int:
        """Begin a new segment where the date changes; returns the number of the first sample that must wait for that.

        As in files, less than a second on a date is no part of its own: it stays with the date before, or the first
        date of a session with the next one.
        """
        pieces, rules = self.pieces, self.rules
        while pieces.last_us >= self.midnight:
            change = max(pieces.first_from(self.midnight), self.first)
            date, midnight = rules.day(pieces.time(change))
            if self.day_before + change - self.day_from >= rules.rate_hz:
                if pieces.end - change < rules.rate_hz and not (closing and goes_on):
                    return pieces.end if closing else change
                self._windows(out, change)
                self._stretch(out, change)
                if self.next_window == self.first:
                    out.short[self.key] = out.short.get(self.key, 0) + change - self.first
                self.number += 1
                self.first = self.next_window = self.next_stretch = change
                self.day_before, self.day_from = 0, change
            self.date, self.midnight = date, midnight
        return pieces.end

    # What is no longer needed

    def _settle(self, out: Taken) -> None:
        rules, pieces, messages = self.rules, self.pieces, self.messages
        needed = min(self.next_window, self.next_stretch - rules.look)
        done = 0
        if self.grid is None:
            # The sample before is the origin of the grid, if the next one is irregular.
            while done < len(messages) and messages[done].end < needed:
                done += 1
        else:
            time = min(
                self._time(self.next_window) - self.grid.reach_us,
                self._time(self.next_stretch) - rules.look_us,
            )
            # Times are rounded to whole microseconds.
            while done + 1 < len(messages) and messages[done + 1].first_us < time - 1:
                done += 1
            self.grid.forget(time)
        if done:
            out.settled.extend(message.id for message in messages[:done])
            del messages[:done]
        pieces.forget(min(self.next_window, self.next_stretch) if self.grid is not None else needed - 1)

    def _time(self, number: int) -> int:
        if number < self.pieces.begin or number >= self.pieces.end:
            return self.grid_t0 + round((number - self.grid_from) * self.rules.interval)
        return self.pieces.time(number)

    # For a restart

    def track(self) -> SegmentTrack:
        """The state before the first message that is not settled."""
        clock = self.messages[0].before if self.messages else self.clock
        return SegmentTrack(
            self.number,
            self.placement,
            self.rate_hz,
            clock,
            self.t0,
            self.judged,
            self.grid_from,
            self.grid_t0,
            self.factor,
            self.first,
            self.next_window,
            self.next_stretch,
            self.date.toordinal(),
            self.day_before,
            self.day_from,
        )

    @classmethod
    def restored(cls, key: StreamKey, session: str, track: SegmentTrack, rules: Rules) -> Segment:
        """The segment, which the messages that are not settled complete."""
        segment = cls(key, session, track.number, last=0, day=(track.day, track.day_before), envelope=None, rules=rules)
        segment.clock = track.clock
        segment.placement, segment.rate_hz = track.placement, track.rate_hz
        segment.t0 = track.t0
        segment.midnight = rules.midnight_after(segment.date)
        segment.day_from = track.day_from
        segment.first = track.first
        segment.next_window, segment.next_stretch = track.next_window, track.next_stretch
        segment.judged = track.judged
        count = segment.clock.number
        if track.grid_from >= 0 and (track.grid_from == 0 or count > track.grid_from):
            segment.grid_from, segment.grid_t0, segment.factor = track.grid_from, track.grid_t0, track.factor
            first = max(min(track.next_window, track.next_stretch), track.grid_from + (track.grid_from > 0))
            segment.pieces = Pieces(first)
            segment.grid = Grid(track.grid_t0, rules.interval, track.factor, first - track.grid_from, rules.channels)
        else:
            segment.pieces = Pieces(count)
        return segment
