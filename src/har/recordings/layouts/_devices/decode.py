"""Decode a piece of a device's file with `actfast`, and write such pieces, so that no file is decoded as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.errors import NotARecordingError, SettingsError, reason

PIECE_BYTES = 8 * 2**20
"""Devices' bytes that are decoded at once: about two million samples of an AX3, of 20 bytes each when decoded."""

Metadata = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, eq=False)
class Piece:
    """What a piece of a file decodes to.

    Attributes:
        local_us: int64 (n,), the device's wall clock in µs since 1970, as if it showed UTC. Within a block of the
            file, stamps have the nominal interval.
        accelerometer: float32 (n, 3), g.
        gyroscope: float32 (n, 3), deg/s; None if the device has none.
        metadata: the file's header, by section.
        damaged: number of blocks that could not be decoded and are left out.
    """

    local_us: NDArray[np.int64]
    accelerometer: NDArray[np.float32]
    gyroscope: NDArray[np.float32] | None
    metadata: Metadata
    damaged: int


def decode(piece: Path, where: str) -> Piece:
    """Decode a file that holds a header and some blocks. Light, temperature, battery and buttons are passed over.

    Args:
        piece: the file to decode.
        where: the file it is a piece of, as messages name it.

    Raises:
        NotARecordingError: it is no file of such a device.
        SettingsError: the package `actfast` is not installed.
    """
    try:
        import actfast
    except ImportError as error:
        raise SettingsError(
            where="har import",
            expected="the package actfast, which decodes .gt3x, .cwa and .bin",
            got="no such package",
            remedy="Install the extra `devices`: pip install 'actfast>=1.3', or make setup.",
        ) from error
    try:
        content: Any = actfast.read(str(piece), lenient=True)
    except BaseException as error:
        # A panic of Rust is no Exception; pyo3 does not export its class.
        if not isinstance(error, ValueError) and type(error).__name__ != "PanicException":
            raise
        raise NotARecordingError(
            where=where,
            expected="a whole file as the device wrote it",
            got=f"one that actfast cannot decode: {reason(error)}",
            remedy="Copy it from the device again. Files converted by other programs are no longer in this format.",
        ) from error
    series = content["timeseries"]
    fast: Mapping[str, NDArray[Any]] = series.get("high_frequency") or series.get("acceleration") or {}
    stamps = fast.get("datetime", np.empty(0, np.int64))
    return Piece(
        local_us=stamps // 1000,
        accelerometer=fast.get("acceleration", np.empty((0, 3), np.float32)).reshape(-1, 3),
        gyroscope=fast.get("gyroscope"),
        metadata=content["metadata"],
        damaged=len(content["warnings"]),
    )
