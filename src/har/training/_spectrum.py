"""The frequencies, bands and lags that a window resolves, and the constants that compute their descriptors."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from har.training._signal import Signal

BAND_EDGES_HZ = (0.0, 0.6, 1.0, 1.4, 1.8, 2.2, 2.6, 3.4, 4.2, 5.0, 5.8, 7.0, 8.0, 10.0, 12.0, 16.0, 25.0)
"""Edges of the power bands; human movement lies below 20 Hz (Antonsson and Mann 1985)."""
COHERENCE_BANDS_HZ = ((0.0, 1.0), (1.0, 3.0), (3.0, 8.0))
"""Bands in which the phases of two channels are compared."""
LAGS_S = (0.02, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 0.8, 0.96)
"""Lags of the autocorrelation."""


class Spectrum:
    """What of the spectrum of such windows is described, and by which products.

    A window of even length is folded first: bin k of its discrete Fourier transform is the bin k of the sum of its
    halves for an even k, of their difference for an odd k, which halves the work. So bins come in one or two parts, or
    in none if the window resolves no frequency.

    Attributes:
        frequencies: of all bins, Hz.
        bands: the power bands, Hz.
        lags: of the autocorrelation, in seconds and in samples.
        coherence: the coherence bands, Hz.
        widths: per part, the bins in each coherence band.
        fourier: per part, (T or T / 2, 2 B) for its B bins: cosines then sines of the bins in coherence bands, in the
            bands' order, then cosines and sines of the other bins.
        summaries: per part, (2 B, Q), from the squares of these to the Q sums over bins: power of the first difference,
            of all bands, of each band, of all bins, and autocovariance at each lag.
        floors: (Q,), how many floors belong on each of these sums.
    """

    def __init__(self, signal: Signal) -> None:
        length, rate = signal.length, signal.rate_hz
        bins = np.arange(1, length // 2 + 1)
        bins = bins[bins * rate / length <= BAND_EDGES_HZ[-1]]
        self.frequencies = hz = bins * rate / length
        self._nyquist = rate / 2
        self.bands = [pair for pair in pairwise(BAND_EDGES_HZ) if self._inside(hz, pair).any()]
        steps = [(lag, round(lag * rate)) for lag in LAGS_S if 1 <= round(lag * rate) <= length // 2] if len(hz) else []
        # Keep one of two lags that round to the same number of samples.
        self.lags = [(lag, step) for i, (lag, step) in enumerate(steps) if step not in {s for _, s in steps[:i]}]
        self.coherence = [pair for pair in COHERENCE_BANDS_HZ if self._inside(hz, pair).any()]
        self.floors = np.array([1, len(self.bands), *[1] * len(self.bands), 1, *[0] * len(self.lags)])
        folded = length % 2 == 0 and len(bins) > 1
        parts = [bins[bins % 2 == odd] for odd in (0, 1)] if folded else [bins] if len(bins) else []
        self.widths, self.fourier, self.summaries = [], [], []
        for part in parts:
            hz = part * rate / length
            blocks = [np.flatnonzero(self._inside(hz, pair)) for pair in self.coherence]
            self.widths.append(tuple(len(block) for block in blocks))
            low = np.concatenate(blocks) if blocks else np.empty(0, np.int64)
            ordered = [low, np.setdiff1d(np.arange(len(part)), low)]
            # One-sided power: every bin except Nyquist's also counts for its negative frequency.
            weight = np.sqrt(np.where(2 * part == length, 1.0, 2.0)) / length
            angle = 2 * np.pi * np.outer(np.arange(length // 2 if folded else length), part) / length
            waves = np.cos(angle) * weight, np.sin(angle) * weight
            self.fourier.append(np.concatenate([wave[:, block] for block in ordered for wave in waves], axis=1))
            sums = self._sums(hz, rate)
            self.summaries.append(np.concatenate([sums[block] for block in ordered for _ in waves]))

    def _inside(self, hz: NDArray[np.float64], band: tuple[float, float]) -> NDArray[np.bool_]:
        low, high = band
        below = (hz <= high) if high in (self._nyquist, BAND_EDGES_HZ[-1]) else (hz < high)
        return (hz >= low) & below & (high <= self._nyquist)

    def _sums(self, hz: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
        circular = 2 * np.pi * hz / rate
        inside = [self._inside(hz, pair).astype(float) for pair in self.bands]
        columns = [
            2 - 2 * np.cos(circular),
            np.sum(inside, axis=0) if inside else np.zeros_like(hz),
            *inside,
            np.ones_like(hz),
            *(np.cos(circular * step) for _, step in self.lags),
        ]
        return np.stack(columns, 1)
