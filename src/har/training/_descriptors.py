"""Windows in SI units in, named descriptors out: the features that the classifier reads and that monitoring profiles.

Bands are defined in Hz and lags in seconds; those that the rate or the window's length cannot resolve are left out.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from har.training._signal import Signal

BAND_EDGES_HZ = (0.0, 0.6, 1.0, 1.4, 1.8, 2.2, 2.6, 3.4, 4.2, 5.0, 5.8, 7.0, 8.0, 10.0, 12.0, 16.0, 25.0)
"""Edges of the power bands; human movement lies below 20 Hz (Antonsson and Mann 1985)."""
COHERENCE_BANDS_HZ = ((0.0, 1.0), (1.0, 3.0), (3.0, 8.0))
"""Bands in which the phases of two channels are compared."""
LAGS_S = (0.02, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 0.8, 0.96)
"""Lags of the autocorrelation."""
FLOOR = 1e-4
"""Added to a variance or band power before a logarithm or division, in (m/s²)² or (rad/s)²; below sensor noise."""

SHAPE_FLOOR = 1e-3
"""Added to the variance in skewness and kurtosis: at rest they are noise, and a tiny variance would amplify rounding
errors."""


class Descriptors(nn.Module):
    """Fixed formulas, no parameters: float32 (N, T, C) to float32 (N, F), columns named by `names`.

    Per series (each channel, and the magnitude of each three-axis sensor): `mean`, `log_var`, `min`, `max`, `mad`
    (mean absolute deviation from the mean), `skew` and `kurtosis` (clamped), `band_…hz` (log of the power in a band,
    from the discrete Fourier transform), `entropy` (Shannon, over the bands), `autocorr_…s` (circular, below 25 Hz,
    from the power spectrum by Wiener and Khinchin), `log_jerk` (log of the power of the circular first difference,
    below 25 Hz, per sample). Per pair of series: `corr` (Pearson). Per pair of channels and coherence band: `co_…hz`
    and `quad_…hz`, real and imaginary part of the coherency.
    """

    magnitude: Tensor
    fourier: Tensor
    summaries: Tensor
    pairs: Tensor
    pairs_first: Tensor
    pairs_second: Tensor
    variance: Tensor
    axes: Tensor
    axes_first: Tensor
    axes_second: Tensor
    axes_quadrature: Tensor

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.length = signal.length
        self.channels = len(signal.channels)
        self.series = len(signal.series)
        self.triples = len(signal.triples)
        spectrum = _Spectrum.of(signal)
        self.bands = len(spectrum.bands)
        self.lags = len(spectrum.lags)
        self.widths = tuple(width for _, width in spectrum.coherence)
        self.bins = 2 * len(spectrum.frequencies)
        magnitude = np.zeros((self.triples, self.channels))
        for row, triple in enumerate(signal.triples):
            magnitude[row, list(triple)] = 1
        self._constant("magnitude", magnitude)
        self._constant("fourier", spectrum.fourier)
        self._constant("summaries", spectrum.summaries)
        self._constant("pairs_first", _pairs(self.series)[0])
        self._constant("pairs_second", _pairs(self.series)[1])
        self._constant("pairs", _pairs(self.series)[2] / signal.length)
        self._constant("variance", _diagonal(self.series) / signal.length)
        self._constant("axes_first", _diagonal(self.channels) @ _pairs(self.channels)[0])
        self._constant("axes_second", _diagonal(self.channels) @ _pairs(self.channels)[1])
        self._constant("axes", _pairs(self.channels)[2])
        self._constant("axes_quadrature", _pairs(self.channels)[3])
        self.names = tuple(_names(signal, spectrum))

    def _constant(self, name: str, values: NDArray[np.float64]) -> None:
        self.register_buffer(name, torch.from_numpy(values.astype(np.float32)), persistent=False)

    def forward(self, window: Tensor) -> Tensor:
        """Describe windows, float32 (N, T, C)."""
        series = window.transpose(1, 2)
        if self.triples:
            norms = torch.sqrt(torch.matmul(self.magnitude, series * series))
            series = torch.cat((series, norms), 1)
        mean = series.mean(-1, keepdim=True)
        centred = series - mean
        squared = centred * centred
        gram = torch.matmul(centred, centred.transpose(1, 2)).flatten(1)
        variance = torch.matmul(gram, self.variance)
        floored = variance + FLOOR
        deviation = torch.sqrt(floored)
        spread = variance + SHAPE_FLOOR
        # In float32 the mean of `centred` is not exactly 0, which matters for a small movement on a large offset.
        residual = centred.mean(-1)
        third = (squared * centred).mean(-1) - 3.0 * residual * variance
        fourth = (squared * squared).mean(-1) - 4.0 * residual * third
        columns = [
            mean.flatten(1),
            torch.log(floored),
            series.amin(-1),
            series.amax(-1),
            centred.abs().mean(-1),
            (third / (spread * torch.sqrt(spread))).clamp(-5.0, 5.0),
            (fourth / (spread * spread)).clamp(0.0, 15.0),
        ]
        if self.series > 1:
            first = torch.matmul(deviation, self.pairs_first)
            second = torch.matmul(deviation, self.pairs_second)
            columns.append(torch.matmul(gram, self.pairs) / (first * second))
        if self.bins:
            columns.extend(self._spectral(centred))
        return torch.cat(columns, 1)

    def _spectral(self, centred: Tensor) -> list[Tensor]:
        spectrum = torch.matmul(centred, self.fourier)
        summary = torch.matmul(spectrum * spectrum, self.summaries)
        total = summary.narrow(2, 0, 1) + FLOOR
        columns = [torch.log(summary.narrow(2, 1, 1) + FLOOR).flatten(1)]
        if self.lags:
            columns.append((summary.narrow(2, 2, self.lags) / total).flatten(1))
        if self.bands:
            power = summary.narrow(2, 2 + self.lags, self.bands) + FLOOR
            logarithm = torch.log(power)
            share = power / power.sum(-1, keepdim=True)
            columns.append(logarithm.flatten(1))
            # With p = power / s and s the sum of the powers: -Σ p log p = log s - Σ p log(power).
            columns.append(torch.log(power.sum(-1)) - (share * logarithm).sum(-1))
        if self.channels > 1:
            columns.extend(self._coherency(spectrum))
        return columns

    def _coherency(self, spectrum: Tensor) -> list[Tensor]:
        columns = []
        first = 0
        for width in self.widths:
            band = spectrum.narrow(1, 0, self.channels).narrow(2, first, 2 * width)
            real, imaginary = band.narrow(2, 0, width), band.narrow(2, width, width)
            gram = torch.matmul(band, band.transpose(1, 2)).flatten(1)
            quadrature = torch.matmul(real, imaginary.transpose(1, 2)).flatten(1)
            powers = (torch.matmul(gram, self.axes_first) + FLOOR) * (torch.matmul(gram, self.axes_second) + FLOOR)
            scale = torch.sqrt(powers)
            columns.append(torch.matmul(gram, self.axes) / scale)
            columns.append(torch.matmul(quadrature, self.axes_quadrature) / scale)
            first += 2 * width
        return columns


class _Spectrum:
    """The frequencies, bands and lags that a window resolves, and the constants that compute them."""

    def __init__(
        self,
        frequencies: NDArray[np.float64],
        bands: list[tuple[float, float]],
        lags: list[tuple[float, int]],
        coherence: list[tuple[tuple[float, float], int]],
        fourier: NDArray[np.float64],
        summaries: NDArray[np.float64],
    ) -> None:
        self.frequencies, self.bands, self.lags, self.coherence = frequencies, bands, lags, coherence
        self.fourier, self.summaries = fourier, summaries

    @classmethod
    def of(cls, signal: Signal) -> _Spectrum:
        length, rate = signal.length, signal.rate_hz
        nyquist = rate / 2
        bins = np.arange(1, length // 2 + 1)
        hz = bins * rate / length
        bins, hz = bins[hz <= BAND_EDGES_HZ[-1]], hz[hz <= BAND_EDGES_HZ[-1]]

        def inside(low: float, high: float) -> NDArray[np.bool_]:
            below = (hz <= high) if high in (nyquist, BAND_EDGES_HZ[-1]) else (hz < high)
            return (hz >= low) & below & (high <= nyquist)

        bands = [pair for pair in pairwise(BAND_EDGES_HZ) if inside(*pair).any()]
        lags = [(lag, round(lag * rate)) for lag in LAGS_S if 1 <= round(lag * rate) <= length // 2] if len(hz) else []
        # Keep one of two lags that round to the same number of samples.
        lags = [(lag, step) for i, (lag, step) in enumerate(lags) if step not in {s for _, s in lags[:i]}]
        coherence = [(pair, int(inside(*pair).sum())) for pair in COHERENCE_BANDS_HZ if inside(*pair).any()]
        blocks = [np.flatnonzero(inside(*pair)) for pair, _ in coherence]
        blocks.append(np.setdiff1d(np.arange(len(hz)), np.concatenate(blocks) if blocks else []))
        # One-sided power: every bin except Nyquist's also counts for its negative frequency.
        weight = np.sqrt(np.where(2 * bins == length, 1.0, 2.0)) / length
        angle = 2 * np.pi * np.outer(np.arange(length), bins) / length
        real, imaginary = np.cos(angle) * weight, np.sin(angle) * weight
        fourier = np.concatenate([part[:, block] for block in blocks for part in (real, imaginary)], axis=1)
        circular = 2 * np.pi * hz / rate
        columns = [
            np.ones_like(hz),
            2 - 2 * np.cos(circular),
            *(np.cos(circular * step) for _, step in lags),
            *(inside(*pair).astype(float) for pair in bands),
        ]
        per_bin = np.stack(columns, 1)
        summaries = np.concatenate([per_bin[block] for block in blocks for _ in range(2)])
        return cls(hz, bands, lags, coherence, fourier, summaries)


def _diagonal(size: int) -> NDArray[np.float64]:
    """(size², size): selects the diagonal of a flattened square matrix."""
    picks = np.zeros((size * size, size))
    picks[np.arange(size) * (size + 1), np.arange(size)] = 1
    return picks


def _pairs(size: int) -> tuple[NDArray[np.float64], ...]:
    """Matrices that select, for each pair a < b: a; b; (a, b); (a, b) - (b, a). The last two of a flattened square."""
    first, second = np.triu_indices(size, 1)
    pair = np.arange(len(first))
    of_first, of_second = np.zeros((2, size, len(first)))
    entry, difference = np.zeros((2, size * size, len(first)))
    of_first[first, pair] = of_second[second, pair] = 1
    entry[first * size + second, pair] = difference[first * size + second, pair] = 1
    difference[second * size + first, pair] = -1
    return of_first, of_second, entry, difference


def feature_names(signal: Signal) -> tuple[str, ...]:
    """Names of the F descriptors that every network computes from such a window."""
    return Descriptors(signal).names


def _names(signal: Signal, spectrum: _Spectrum) -> list[str]:
    def each(*kinds: str) -> list[str]:
        return [f"{series}.{kind}" for series in signal.series for kind in kinds]

    def pairs(names: tuple[str, ...], kind: str) -> list[str]:
        return [f"{a}~{b}.{kind}" for i, a in enumerate(names) for b in names[i + 1 :]]

    names = [
        name for kind in ("mean", "log_var", "min", "max", "mad", "skew", "kurtosis") for name in each(kind)
    ] + pairs(signal.series, "corr")
    if not len(spectrum.frequencies):
        return names
    names += each("log_jerk")
    names += each(*(f"autocorr_{lag:g}s" for lag, _ in spectrum.lags))
    if spectrum.bands:
        names += each(*(f"band_{low:g}_{high:g}hz" for low, high in spectrum.bands)) + each("entropy")
    for (low, high), _ in spectrum.coherence:
        names += pairs(signal.channels, f"co_{low:g}_{high:g}hz") + pairs(signal.channels, f"quad_{low:g}_{high:g}hz")
    return names
