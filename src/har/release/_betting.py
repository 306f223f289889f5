"""Evidence that holds whenever one looks: bets against a hypothesis, whose wealth seldom grows while it is true.

Under the hypothesis, the wealth of a bettor who starts with 1 is a nonnegative supermartingale; that it ever reaches
1/a has a probability of at most a (Ville 1939). So one may look after every request, and stop at will.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STAKES = np.array([0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95])
"""Shares of the largest possible stake."""
_RATES = 40


def log_wealth(values: Floats, least: float) -> Floats:
    """The log of the wealth after each value, against "the mean, given the past, is 0 or less".

    With stakes l_j from 0 to 1/`least`, the wealth after n values is the mean over j of prod(1 + l_j x_i): the betting
    e-process of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86 (2024),
    section 4, with a mixture over constant stakes in place of a predicted one.

    Args:
        values: (..., n), each at least -`least`; the time is the last axis.
        least: above 0.

    Returns:
        (..., n).
    """
    stakes = _STAKES / least
    logs = np.log1p(stakes[:, None] * values[..., None, :]).cumsum(axis=-1)
    most = logs.max(axis=-2, keepdims=True, initial=-math.inf)
    grown: Floats = (np.log(np.exp(logs - most).mean(axis=-2, keepdims=True)) + most).squeeze(-2)
    return grown


def log_excess(hits: int, n: int, rate: float) -> float:
    """The log of the wealth against "each of n trials hits with a probability of `rate` or less".

    The wealth is the mean over higher rates q of (q / rate)^hits ((1 - q) / (1 - rate))^(n - hits): a mixture of
    likelihood ratios, after Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of
    Mathematical Statistics 41 (1970).

    Args:
        hits: of n.
        n: trials.
        rate: between 0 and 1.
    """
    if not hits:
        return 0.0
    rates = np.geomspace(rate, 1.0, _RATES + 1)[1:] * (1 - 1e-6)
    logs = hits * np.log(rates / rate) + (n - hits) * np.log((1 - rates) / (1 - rate))
    most = float(logs.max())
    return most + math.log(float(np.exp(logs - most).mean()))


def bounds(values: Floats, risk: float, *, tuned_for: int = 50) -> tuple[Floats, Floats]:
    """A lower and an upper bound of the mean of values; each is wrong, at any time, with a probability near `risk`.

    mean -+ sd sqrt(2 (n r + 1) / (n^2 r) log(1 + sqrt(n r + 1) / (2 risk))), r chosen so that it is narrow at
    `tuned_for`: the one-sided asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas,
    "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52 (2024), appendix.

    Args:
        values: (..., n), n at least 2.
        risk: of each bound.
        tuned_for: number of values.

    Returns:
        (...) each.
    """
    n = values.shape[-1]
    twice = -2 * math.log(2 * risk)
    r = (twice + math.log(twice + 1)) / tuned_for
    factor = math.sqrt(2 * (n * r + 1) / (n * n * r) * math.log1p(math.sqrt(n * r + 1) / (2 * risk)))
    mean, width = values.mean(axis=-1), factor * values.std(axis=-1, ddof=1)
    return mean - width, mean + width
