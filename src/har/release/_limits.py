"""Hard limits of a new version: what takes it back at once, whoever it answers and whatever it says."""

from __future__ import annotations

import math

from har.release._betting import log_excess
from har.release._values import Check, Limits, Outcome, Side

_CERTAIN = math.log(1000)
"""A limit that counts requests is broken when the wealth of the bets against it has reached a thousand: at once by 3
failures in a row, not by 1 of 3, and by chance in less than one of 1,000 releases, however often one looks."""
_TRACE = 0.001
"""Share of answers that may be NaN or infinite."""
_ODD_SHARE = 0.5
"""Share of requests with a warning, above the former version's, that is the version's fault: it was trained in another
unit. Below, it may be the sender's: few subjects meet a new version first."""
_ODD_COPIES = 0.05
"""The same where both versions get the same requests."""
_QUICK_S = 0.01
"""Answers within this are not slow, whatever the former version takes."""
_LEAST_SLOW = 100
"""Requests of the former version behind its p99."""
_LEAST_JUDGED = 30
"""Requests of the new version behind a verdict that it is slow: the first few may all have met one stall."""
_GROWTH_MB = 100.0
"""A process may grow by so much while it warms up …"""
_GROWTH_SHARE = 0.5
"""… or by this share of what it began with; a leak passes both in time."""
_STARTS = 2
"""A replica may be killed and started again without the version's fault; more than these starts in a step are not."""


def hard_limits(
    canary: Side, stable: Side, limits: Limits, *, former: Side | None = None, copies: bool = False
) -> tuple[Check, ...]:
    """Hold what both versions did in the same span of time against the limits.

    A check fails as soon as it is certain, so it can be asked twice a second, of the last seconds as well as of the
    whole step: a version that begins to fail after an hour of good answers breaks the limit of the last seconds first.

    Args:
        canary: the new version.
        stable: the version that serves the others.
        limits: of the release.
        former: what `stable` did in a longer span, for its p99 where it has too few requests.
        copies: whether the canary's requests are copies of the stable version's (step 0).

    Returns:
        failed, fallback, nonfinite, warned, refused, slow, memory, starts. "hold": there is nothing to judge by.
    """
    measured, beside = canary.measured, stable.measured
    failed, requests = canary.counts.failed, canary.counts.requests
    refused = canary.counts.refused
    if not requests and measured is not None:  # copies do not pass the proxy
        failed, requests, refused = measured.failed, measured.requests, measured.refused
    checks = [
        _share("failed", "were not answered, or with status 5xx", failed, requests, limits.failed_share),
        _refused(refused, requests, stable, limits.failed_share),
    ]
    if measured is None:
        names = ("fallback", "nonfinite", "warned", "slow")
        checks += [Check(name, None, None, 0, 0, "hold", f"{name}: no metrics of the new version.") for name in names]
    else:
        answered = measured.answered
        odd = _ODD_COPIES if copies else _ODD_SHARE
        if beside is not None and beside.answered:
            odd += beside.warned / beside.answered
        checks += [
            _share("fallback", "were answered by the fallback", measured.fallback, answered, limits.failed_share),
            _share("nonfinite", "made the model return NaN or infinity", measured.nonfinite, answered, _TRACE),
            _share(
                "warned",
                "have values that are implausible in the unit of the new version",
                min(measured.warned, answered),
                answered,
                min(odd, 0.95),
            ),
            _slow(canary, stable, former, limits.slow_ratio),
        ]
    return (*checks, _memory(canary, stable, requests), _starts(canary, stable, requests))


def _share(name: str, what: str, hits: int, n: int, limit: float) -> Check:
    if not n:
        return Check(name, None, limit, 0, 0, "hold", f"{name}: the new version has had no request.")
    share = hits / n
    said = f"{hits} of {n} requests of the new version ({share:.1%}) {what}; the limit is {limit:.1%}."
    certain = share > limit and log_excess(hits, n, limit) >= _CERTAIN
    verdict: Outcome = "fail" if certain else "hold" if share > limit else "pass"
    return Check(name, share, limit, n, 0, verdict, said)


def _refused(refused: int, requests: int, stable: Side, limit: float) -> Check:
    """More refusals than the former version's at the same time: load that both feel is no fault of one."""
    others = stable.counts.refused / stable.counts.requests if stable.counts.requests else 0.0
    return _share("refused", "were refused for want of room", refused, requests, min(0.95, max(limit, 2 * others)))


def _slow(canary: Side, stable: Side, former: Side | None, ratio: float) -> Check:
    assert canary.measured is not None  # noqa: S101  asked by `hard_limits`
    compared = next(
        (
            side.measured
            for side in (stable, former)
            if side is not None
            and side.measured is not None
            and sum(count for _, count in side.measured.seconds) >= _LEAST_SLOW
        ),
        None,
    )
    n = sum(count for _, count in canary.measured.seconds)
    if compared is None or not n:
        return Check("slow", None, ratio, n, 0, "hold", "slow: too few answers of both versions to compare their p99.")
    usual = compared.quantile_s(0.99) or 0.0
    limit_s = max(ratio * usual, _QUICK_S)
    own = canary.measured.quantile_s(0.99) or 0.0
    slower = canary.measured.slower(limit_s)
    said = (
        f"{slower} of {n} requests of the new version took longer than {1000 * limit_s:g} ms, {ratio:g} times the p99 "
        f"of the former version (within {1000 * usual:g} ms); 1 % may."
    )
    certain = n >= _LEAST_JUDGED and slower > 0.01 * n and log_excess(slower, n, 0.01) >= _CERTAIN
    verdict: Outcome = "fail" if certain else "hold" if slower > 0.01 * n and n >= _LEAST_SLOW else "pass"
    return Check("slow", own, limit_s, n, 0, verdict, said)


def _memory(canary: Side, stable: Side, n: int) -> Check:
    now = canary.memory_mb
    if not now or not canary.began_mb:
        return Check("memory", None, None, n, 0, "hold", "memory: that of the new version's replicas is not known.")
    usual = max(0.0, stable.memory_mb - stable.began_mb) if stable.began_mb else 0.0
    growth, limit = now - canary.began_mb, usual + max(_GROWTH_MB, _GROWTH_SHARE * canary.began_mb)
    said = (
        f"The new version's largest replica has {now:.0f} MB, {growth:.0f} more than at the begin; the former "
        f"version's grew by {usual:.0f} MB, and the limit is {limit:.0f} MB."
    )
    return Check("memory", growth, limit, n, 0, "fail" if growth > limit else "pass", said)


def _starts(canary: Side, stable: Side, n: int) -> Check:
    starts, others = canary.counts.starts, stable.counts.starts
    said = f"Replicas of the new version were started again {starts} times, those of the former version {others} times."
    return Check("starts", float(starts), float(_STARTS), n, 0, "fail" if starts > _STARTS + others else "pass", said)
