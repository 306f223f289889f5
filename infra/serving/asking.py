"""What the keeper asks replicas themselves: whether one that was ejected answers again, and how fast they are."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence

import httpx
import numpy as np

from har.log_lines import PROBE

_TIMEOUT_S = 1.0
_BUCKET = re.compile(r'har_request_seconds_bucket\{.*?le="([^"]+)".*?\} (\S+)')
_LEAST_ANSWERS = 20


def answers(address: str) -> bool:
    """Whether a replica is ready and answers a window; the window is in no prediction log."""
    identity = {"X-Request-Id": f"{PROBE}keeper-{secrets.token_hex(8)}"}
    try:
        with httpx.Client(base_url=address, timeout=_TIMEOUT_S, trust_env=False, headers=identity) as client:
            if client.get("/readyz").status_code != 200:
                return False
            model = client.get("/model").json()
            shape = (1, int(model["window"]["samples"]), len(model["channels"]))
            window = np.random.default_rng(0).normal(0, 1, shape).astype("<f4")
            window[:, :, min(2, shape[2] - 1)] += 9.8
            answer = client.post(
                "/predict/raw",
                params={"shape": ",".join(map(str, shape))},
                content=window.tobytes(),
                headers={"Content-Type": "application/octet-stream"},
            )
            return answer.status_code == 200
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


def answered_within(addresses: Sequence[str]) -> dict[str, dict[float, float]]:
    """How many answers of each replica took at most so many seconds, cumulated since its start."""
    found = {}
    for address in addresses:
        try:
            page = httpx.get(f"{address}/metrics", timeout=_TIMEOUT_S, trust_env=False).text
        except httpx.HTTPError:
            continue
        counts: dict[float, float] = {}
        for bound, value in _BUCKET.findall(page):
            counts[float(bound)] = counts.get(float(bound), 0.0) + float(value)
        found[address] = counts
    return found


def p99_s(before: Mapping[str, Mapping[float, float]], now: Mapping[str, Mapping[float, float]]) -> float | None:
    """The bound below which 99 % of the answers between two readings of `answered_within` lie; None: too few."""
    total: dict[float, float] = {}
    for address, counts in now.items():
        for bound, value in counts.items():
            total[bound] = total.get(bound, 0.0) + value - before.get(address, {}).get(bound, 0.0)
    answers_in_all = max(total.values(), default=0.0)
    if answers_in_all < _LEAST_ANSWERS:
        return None
    return next(bound for bound in sorted(total) if total[bound] >= 0.99 * answers_in_all)
