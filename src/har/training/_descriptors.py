"""Windows in SI units in, named descriptors out: the features that the classifier reads and that monitoring profiles.

Bands are defined in Hz and lags in seconds; those that the rate or the window's length cannot resolve are left out.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from har.training._signal import Signal
from har.training._spectrum import Spectrum

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
    below 25 Hz, per sample), and of each half of the window, which tell what comes first, `first_…` and `second_…`:
    `mean`, `log_var`, `min` and `max`. Per pair of series: `corr` (Pearson). Per pair of channels and coherence band:
    `co_…hz` and `quad_…hz`, real and imaginary part of the coherency.

    The order of the operations is that of the exported graph, where a pass over all samples costs a tenth of the
    Fourier transform: sums are entries of a matrix product wherever there is one anyway.
    """

    magnitude: Tensor
    gram: Tensor
    pairs_first: Tensor
    pairs_second: Tensor
    floors: Tensor
    coherency: Tensor
    coherency_floors: Tensor

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.length = signal.length
        self.channels = len(signal.channels)
        self.series = len(signal.series)
        self.triples = len(signal.triples)
        spectrum = Spectrum(signal)
        self.bands = len(spectrum.bands)
        self.lags = len(spectrum.lags)
        self.widths = spectrum.widths
        magnitude = np.zeros((self.triples, self.channels))
        for row, triple in enumerate(signal.triples):
            magnitude[row, list(triple)] = 1
        self._constant("magnitude", magnitude)
        self._constant("gram", _gram(self.series) / signal.length)
        first, second = np.triu_indices(self.series, 1)
        self._constant("pairs_first", np.eye(self.series)[:, first])
        self._constant("pairs_second", np.eye(self.series)[:, second])
        for part, (fourier, summaries) in enumerate(zip(spectrum.fourier, spectrum.summaries, strict=True)):
            self._constant(f"fourier_{part}", fourier)
            self._constant(f"summaries_{part}", summaries)
        self._constant("floors", FLOOR * spectrum.floors)
        self._constant("coherency", _coherency(self.channels))
        pairs = self.channels * (self.channels - 1) // 2
        self._constant("coherency_floors", FLOOR * np.repeat([0.0, 1.0], 2 * pairs))
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
        gram = torch.matmul(torch.matmul(centred, centred.transpose(1, 2)).flatten(1), self.gram)
        variance = gram.narrow(1, 0, self.series)
        floored = variance + FLOOR
        spread = variance + SHAPE_FLOOR
        # In float32 the mean of `centred` is not exactly 0, which matters for a small movement on a large offset.
        halves = self._halves(centred)
        rises = halves.mean(-1, keepdim=True)
        residual = centred.mean(-1) if self.length % 2 else rises.squeeze(3).mean(-1)
        rest = halves - rises
        halves = self._halves(series)
        lowest, highest = halves.amin(-1), halves.amax(-1)
        third = (squared * centred).mean(-1) - 3.0 * residual * variance
        fourth = (squared * squared).mean(-1) - 4.0 * residual * third
        columns = [
            mean.flatten(1),
            torch.log(floored),
            lowest.amin(-1),
            highest.amax(-1),
            centred.abs().mean(-1),
            (third / (spread * torch.sqrt(spread))).clamp(-5.0, 5.0),
            (fourth / (spread * spread)).clamp(0.0, 15.0),
        ]
        if self.series > 1:
            deviation = torch.sqrt(floored)
            scale = torch.matmul(deviation, self.pairs_first) * torch.matmul(deviation, self.pairs_second)
            columns.append(gram.narrow(1, self.series, self.pairs_first.shape[1]) / scale)
        if self.widths:
            columns.extend(self._spectral(centred))
        of_halves = (mean + rises.squeeze(3), torch.log((rest * rest).mean(-1) + FLOOR), lowest, highest)
        columns.extend(values.flatten(1) for values in of_halves)
        return torch.cat(columns, 1)

    def _halves(self, series: Tensor) -> Tensor:
        """(N, S, T) as (N, S, 2, T / 2); of an odd length, both halves hold the sample in the middle."""
        half = self.length - self.length // 2
        if 2 * half > self.length:
            series = torch.cat((series.narrow(2, 0, half), series.narrow(2, self.length - half, half)), 2)
        return series.reshape(-1, self.series, 2, half)

    def _spectral(self, centred: Tensor) -> list[Tensor]:
        spectra = [torch.matmul(part, getattr(self, f"fourier_{n}")) for n, part in enumerate(self._folded(centred))]
        summary = self.floors
        for part, spectrum in enumerate(spectra):
            weights = getattr(self, f"summaries_{part}")
            summary = torch.addmm(summary, (spectrum * spectrum).reshape(-1, len(weights)), weights)
        summary = summary.reshape(-1, self.series, len(self.floors))
        logarithms = torch.log(summary.narrow(2, 0, self.bands + 2 if self.bands else 1))
        columns = [logarithms.narrow(2, 0, 1).flatten(1)]
        if self.lags:
            total = summary.narrow(2, self.bands + 2, 1)
            columns.append((summary.narrow(2, self.bands + 3, self.lags) / total).flatten(1))
        if self.bands:
            logarithm = logarithms.narrow(2, 2, self.bands)
            columns.append(logarithm.flatten(1))
            # With p = power / s and s the sum of the powers: -Σ p log p = log s - Σ power log(power) / s.
            weighed = (summary.narrow(2, 2, self.bands) * logarithm).sum(-1, keepdim=True)
            columns.append((logarithms.narrow(2, 1, 1) - weighed / summary.narrow(2, 1, 1)).flatten(1))
        if self.channels > 1 and self.widths[0]:
            columns.append(self._coherency(spectra))
        return columns

    def _folded(self, centred: Tensor) -> list[Tensor]:
        """What the even bins see of a window, the sum of its halves, and what the odd bins see, their difference."""
        if len(self.widths) == 1:
            return [centred]
        half = self.length // 2
        first, second = centred.narrow(2, 0, half), centred.narrow(2, half, half)
        return [first + second, first - second]

    def _coherency(self, spectra: list[Tensor]) -> Tensor:
        pieces: list[list[Tensor]] = [[] for _ in self.widths[0]]
        for spectrum, widths in zip(spectra, self.widths, strict=True):
            if any(widths):
                # (N, 2 C, bins): the real and then the imaginary part of each channel.
                low = spectrum.narrow(1, 0, self.channels).narrow(2, 0, 2 * sum(widths))
                rows = low.reshape(-1, 2 * self.channels, sum(widths))
                for band, width in enumerate(widths):
                    if width:
                        pieces[band].append(rows.narrow(2, sum(widths[:band]), width))
        grams = []
        for of_parts in pieces:
            both = torch.cat(of_parts, 2) if len(of_parts) > 1 else of_parts[0]
            grams.append(torch.matmul(both, both.transpose(1, 2)).flatten(1))
        gram = torch.cat(grams, 1).reshape(-1, len(self.coherency))
        found = torch.addmm(self.coherency_floors, gram, self.coherency)
        pairs = len(self.coherency_floors) // 4
        first, second = found.narrow(1, 2 * pairs, pairs), found.narrow(1, 3 * pairs, pairs)
        scale = torch.sqrt(first * second).reshape(-1, 1, pairs)
        return (found.narrow(1, 0, 2 * pairs).reshape(-1, 2, pairs) / scale).reshape(-1, 2 * pairs * len(grams))


def _gram(series: int) -> NDArray[np.float64]:
    """From the flattened products of all series: its own square of each, then the product of each pair."""
    first, second = np.triu_indices(series, 1)
    rows, columns = np.append(np.arange(series), first), np.append(np.arange(series), second)
    picks = np.zeros((series * series, len(rows)))
    picks[series * rows + columns, np.arange(len(rows))] = 1
    return picks


def _coherency(channels: int) -> NDArray[np.float64]:
    """From the flattened products of the real and imaginary parts of all channels, for each pair: cospectrum,
    quadrature spectrum, power of the first and power of the second channel.
    """
    first, second = np.triu_indices(channels, 1)
    pairs = np.arange(len(first))
    picks = np.zeros((2 * channels, 2 * channels, 4, len(first)))
    for part in (0, 1):
        picks[2 * first + part, 2 * second + part, 0, pairs] = 1
        picks[2 * first + part, 2 * first + part, 2, pairs] = 1
        picks[2 * second + part, 2 * second + part, 3, pairs] = 1
    picks[2 * first, 2 * second + 1, 1, pairs] = 1
    picks[2 * second, 2 * first + 1, 1, pairs] = -1
    return picks.reshape(4 * channels * channels, -1)


def feature_names(signal: Signal) -> tuple[str, ...]:
    """Names of the F descriptors that every network computes from such a window."""
    return Descriptors(signal).names


def _names(signal: Signal, spectrum: Spectrum) -> list[str]:
    def each(*kinds: str) -> list[str]:
        return [f"{series}.{kind}" for series in signal.series for kind in kinds]

    def pairs(names: tuple[str, ...], kind: str) -> list[str]:
        return [f"{a}~{b}.{kind}" for i, a in enumerate(names) for b in names[i + 1 :]]

    names = [
        name for kind in ("mean", "log_var", "min", "max", "mad", "skew", "kurtosis") for name in each(kind)
    ] + pairs(signal.series, "corr")
    halves = [
        f"{series}.{half}_{kind}"
        for kind in ("mean", "log_var", "min", "max")
        for series in signal.series
        for half in ("first", "second")
    ]
    if not len(spectrum.frequencies):
        return names + halves
    names += each("log_jerk")
    names += each(*(f"autocorr_{lag:g}s" for lag, _ in spectrum.lags))
    if spectrum.bands:
        names += each(*(f"band_{low:g}_{high:g}hz" for low, high in spectrum.bands)) + each("entropy")
    for low, high in spectrum.coherence:
        names += pairs(signal.channels, f"co_{low:g}_{high:g}hz") + pairs(signal.channels, f"quad_{low:g}_{high:g}hz")
    return names + halves
