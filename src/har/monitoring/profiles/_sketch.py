"""Whole columns in, the bytes of whylogs' sketches and profiles out, without an object per column and value.

A sketch fed value by value sorts as it goes; a column that is there as a whole is sorted once, and every 2^h-th value
of it stands for its neighbours. That is a state which the sketch could have reached itself, a third of the size, and
its ranks are nearer to the truth: within half of 2^h values.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

KLL_SIZE = 256
"""whylogs' own k: merged, ranks are right to about 0.9 % (Karnin, Lang and Liberty 2016)."""
_KLL_LEAST = 8
_HEAD = struct.Struct("<BBBBHBxQHBxxxxx")
"""DataSketches' KLL: words of preamble, serial version, family, flags, k, m, n, least k, number of levels."""
_SINGLE = struct.pack("<BBBBHBx", 2, 2, 15, 4, KLL_SIZE, _KLL_LEAST)
"""The same for a single value, which follows."""


class Column(NamedTuple):
    """A numeric column: its sketch as whylogs writes it, mean, sum of squared deviations, and how many values."""

    sketch: bytes
    mean: float
    squares: float
    values: int


def columns_of(values: NDArray[np.floating], empty: bytes) -> list[Column]:
    """Sketch Q columns of N values; those that are not finite are left out.

    Args:
        values: float (Q, N), a row per column; may be sorted in place.
        empty: the bytes of a sketch without values.
    """
    finite = np.isfinite(values)
    if values.shape[1] == 0 or not finite.all():
        return [
            Column(empty, 0.0, 0.0, 0) if not known.any() else columns_of(row[None, known], empty)[0]
            for row, known in zip(values, finite, strict=True)
        ]
    means = values.mean(axis=1, dtype=np.float64)
    squares = values.var(axis=1, dtype=np.float64) * values.shape[1]
    values.sort(axis=1)
    sketches = _sketches(values)
    return [
        Column(sketch, float(mean), float(square), values.shape[1])
        for sketch, mean, square in zip(sketches, means, squares, strict=True)
    ]


def _sketches(ordered: NDArray[np.floating]) -> list[bytes]:
    """One sketch per row of sorted values (Q, N), N ≥ 1."""
    count = ordered.shape[1]
    if count == 1:
        return [_SINGLE + row.astype("<f8").tobytes() for row in ordered]
    height = max(0, (count - 1).bit_length() - KLL_SIZE.bit_length() + 1)
    whole = count >> height
    # The value that stands for 2^height neighbours is the lower and the upper middle one by turns.
    step = 1 << height
    middle = np.arange(whole) * step + (step - 1) // 2 + np.arange(whole) % 2 * (height > 0)
    picked = [middle]
    begin = whole * step
    sizes = [0] * height + [whole]
    for level in reversed(range(height)):
        if count >> level & 1:
            picked.insert(0, np.array([begin + ((1 << level) - 1) // 2]))
            sizes[level] = 1
            begin += 1 << level
    # Levels lie in memory from the lowest weight to the highest, at the end of what they may fill.
    ends = np.cumsum(sizes)
    capacity = sum(_capacity(depth) for depth in range(height + 1))
    starts = capacity - ends[-1] + np.concatenate([[0], ends[:-1]])
    places = np.concatenate([[0, count - 1], *picked])
    head = _HEAD.pack(6, 1, 15, 0, KLL_SIZE, _KLL_LEAST, count, KLL_SIZE, height + 1)
    head += starts.astype("<u4").tobytes()
    rows = ordered[:, places].astype("<f8")
    return [head + row.tobytes() for row in rows]


def _capacity(depth: int) -> int:
    """Values that a level may hold so far below the highest: k (2/3)^depth, rounded, 8 at least."""
    return int(max(_KLL_LEAST, ((2 * KLL_SIZE << depth) // 3**depth + 1) >> 1))


def profile_bytes(
    proto: Any, columns: Mapping[str, Column], counted: Mapping[str, Any], metadata: Mapping[str, str]
) -> bytes:
    """A dataset profile as whylogs 1 writes it, of the time 0.

    Args:
        proto: the module `whylogs.core.proto`.
        columns: the numeric ones by name.
        counted: further columns: per name the components of its metrics, by path.
        metadata: of the profile.
    """
    paths = sorted(
        {"distribution/kll", "distribution/m2", "distribution/mean", *(p for c in counted.values() for p in c)}
    )
    index = {path: number for number, path in enumerate(paths)}
    chunks: list[bytes] = []
    offsets: dict[str, Any] = {}
    total = 0
    for name in sorted([*columns, *counted]):
        if name in columns:
            column = columns[name]
            components = {
                index["distribution/kll"]: proto.MetricComponentMessage(
                    kll=proto.KllSketchMessage(sketch=column.sketch)
                ),
                index["distribution/m2"]: proto.MetricComponentMessage(d=column.squares),
                index["distribution/mean"]: proto.MetricComponentMessage(d=column.mean),
            }
        else:
            components = {index[path]: component for path, component in counted[name].items()}
        # In the order of their keys, so that the same windows make the same bytes.
        content = proto.ChunkMessage(metric_components=components).SerializeToString(deterministic=True)
        header = proto.ChunkHeader(type=proto.ChunkHeader.ChunkType.COLUMN, length=len(content))
        offsets[name] = proto.ChunkOffsets(offsets=[total])
        chunks += [_delimited(header), content]
        total += len(chunks[-2]) + len(content)
    head = proto.DatasetProfileHeader(
        column_offsets=offsets,
        properties=proto.DatasetProperties(dataset_timestamp=0, creation_timestamp=0, metadata=dict(metadata)),
        length=total,
        indexed_metric_paths=dict(enumerate(paths)),
    )
    segments = proto.DatasetSegmentHeader(has_segments=False)
    return b"".join([b"WHY1", _delimited(segments), _delimited(head), *chunks])


def _delimited(message: Any) -> bytes:
    """A message with its length before it, as a varint."""
    content: bytes = message.SerializeToString(deterministic=True)
    rest, length = len(content), b""
    while rest >= 0x80:
        length += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return length + bytes([rest]) + content
