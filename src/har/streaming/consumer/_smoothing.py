"""Smoothed answers of one shard's streams: windows wait for those after them, also across a restart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, replace

from har.inference import Answers, ModelMetadata, Smoother
from har.settings import Settings
from har.streaming.envelope import StreamKey
from har.streaming.store import PredictionRow, Shard
from har.streaming.windows import Window


class Smoothing:
    """Adds `smoothed` to predictions, by `scoring.smoothing`.

    Args:
        shard: has what waited when its last owner ended.
        settings: of the project.
    """

    def __init__(self, shard: Shard, settings: Settings) -> None:
        self._kind = settings.scoring.smoothing
        self._stride = settings.stride
        self._version = -1
        self._smoother: Smoother | None = None
        self._states: dict[StreamKey, bytes] = {}
        self._segments: dict[StreamKey, tuple[str, str, int]] = {}
        self._rows: dict[StreamKey, dict[int, PredictionRow]] = {}
        for key, content in shard.smoothing().items():
            state, segment, rows = json.loads(content)
            self._states[key] = state.encode()
            self._segments[key] = tuple(segment)
            self._rows[key] = {row[4]: PredictionRow(*row) for row in rows}

    @property
    def streams(self) -> list[StreamKey]:
        """Streams with a segment in progress."""
        return list(self._segments)

    @property
    def is_on(self) -> bool:
        """Whether answers wait for later ones, or did before smoothing was switched off."""
        return self._smoother is not None or bool(self._segments)

    def use(self, version: int, metadata: ModelMetadata) -> None:
        """The next answers are of this version."""
        if version == self._version:
            return
        self._version = version
        if self._smoother is not None:
            self._states.update((key, self._smoother.state(key)) for key in self._segments)
        self._smoother = Smoother.of(metadata, self._kind, stride=self._stride)
        if self._smoother is not None:
            for key, state in self._states.items():
                self._smoother.restore(key, state)
            self._states.clear()

    def add(
        self,
        key: StreamKey,
        windows: Sequence[Window],
        rows: Sequence[PredictionRow],
        answers: Answers,
    ) -> list[PredictionRow]:
        """The rows to store for a stream's next windows: with their smoothed answer, or now without and later with it.

        Args:
            key: the stream.
            windows: in time order.
            rows: their predictions.
            answers: to them.
        """
        smoother = self._smoother
        if smoother is None:
            return [*self.end([key]), *rows]
        found: list[PredictionRow] = []
        first = 0
        for row in range(1, len(windows) + 1):
            if row < len(windows) and _segment(windows[row]) == _segment(windows[first]):
                continue
            part = slice(first, row)
            if self._segments.get(key) != _segment(windows[first]):
                found += self.end([key])
                self._segments[key] = _segment(windows[first])
            waiting = self._rows.setdefault(key, {})
            waiting.update((one.start_us, replace(one, final=False)) for one in rows[part])
            starts = [window.start_us for window in windows[part]]
            done = smoother.push(key, starts, answers.rows(part))
            at_once = {start for start, _ in done}
            found += [waiting[start] for start in starts if start not in at_once]
            found += self._finished(key, done)
            first = row
        return found

    def end(self, keys: Iterable[StreamKey]) -> list[PredictionRow]:
        """Segments of these streams have ended: the rows of their windows that waited."""
        found: list[PredictionRow] = []
        for key in keys:
            if self._segments.pop(key, None) is None:
                continue
            self._states.pop(key, None)
            if self._smoother is not None:
                found += self._finished(key, self._smoother.flush(key))
            # After smoothing was switched off, they stay without.
            found += [replace(row, final=True) for row in self._rows.pop(key, {}).values()]
        return found

    def state(self, key: StreamKey) -> bytes | None:
        """A stream's segment in progress, to be stored; None: there is none."""
        segment = self._segments.get(key)
        if segment is None:
            return None
        state = self._states.get(key, b"") if self._smoother is None else self._smoother.state(key)
        rows = [astuple(row) for row in self._rows.get(key, {}).values()]
        return json.dumps([state.decode(), segment, rows]).encode()

    def _finished(self, key: StreamKey, done: Sequence[tuple[int, str]]) -> list[PredictionRow]:
        waiting = self._rows.get(key, {})
        return [
            replace(waiting.pop(start), smoothed=activity, final=True) for start, activity in done if start in waiting
        ]


def _segment(window: Window) -> tuple[str, str, int]:
    return window.date.isoformat(), window.session, window.segment
