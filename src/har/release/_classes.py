"""Guards on what a new version answers, without labels: a class that it lost, and a class that swallows the others."""

from __future__ import annotations

import math

import numpy as np

from har.release._betting import log_wealth
from har.release._paired import Paired
from har.release._values import Check, Outcome

LEAST_WINDOWS = 20
"""Windows that the former version gave an activity, from which on a person counts for that activity."""
KEPT = 0.2
"""A person's activity is lost when the new version keeps fewer of these windows …"""
SURENESS = 0.15
"""… and the former version was about as sure of the others as of those that both gave it: at most so much less.
After a drift, the former version's wrong answers are not."""
LOST = 0.05
"""Share of people for whom a retrained version that is as good may lose an activity."""
MOST = 0.9
"""One answer has nearly all windows …"""
FORMER_MOST = 0.5
"""… of which the former version gave it no more than this share."""
ENOUGH = 100


def class_guards(paired: Paired, risk: float) -> tuple[Check, Check]:
    """The checks "classes" and "single class".

    Args:
        paired: windows that both versions answered.
        risk: chance that a version that is as good fails "classes".
    """
    return _lost(paired, risk), _single(paired)


def _lost(paired: Paired, risk: float) -> Check:
    """Bets on "this person lost the activity" against "5 % do", person by person; the mean over the activities."""
    had = paired.former_mix
    counted = had >= LEAST_WINDOWS
    subjects = int(counted.any(axis=1).sum()) if had.size else 0
    n = int(had.sum())
    if not counted.any():
        said = f"classes: nobody has {LEAST_WINDOWS} windows of one activity yet."
        return Check("classes", None, KEPT, n, 0, "hold", said)
    lost_windows = had - paired.kept
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = np.where(counted, paired.kept / had, 1.0)
        sure_lost = paired.lost_sure / lost_windows
    # How sure the former version is where both agree: of this person's windows of any activity.
    sure = paired.kept_sure.sum(axis=1, keepdims=True) / np.maximum(paired.kept.sum(axis=1, keepdims=True), 1)
    is_lost = counted & (kept < KEPT) & (np.nan_to_num(sure_lost) >= sure - SURENESS)
    # A person without the activity makes no bet on it.
    logs = log_wealth(np.where(counted, is_lost - LOST, 0.0).T, LOST).max(axis=1).clip(0.0, 500.0)
    wealth = math.log(float(np.exp(logs).mean()))
    worst = int(np.argmax(logs)) if logs.max() > 0 else int(np.argmin(np.where(counted, kept, 2.0).min(axis=0)))
    name = paired.activities[worst]
    having, losing = int(counted[:, worst].sum()), int(is_lost[:, worst].sum())
    share = float(paired.kept[counted[:, worst], worst].sum() / had[counted[:, worst], worst].sum())
    said = (
        f"Of the windows that the former version calls {name}, the new one calls {share:.0%} so too. {having} subjects "
        f"have such windows, and {losing} of them lose the activity although the former version is sure of it."
    )
    doubted = losing > max(1, 0.5 * having)
    verdict: Outcome = "fail" if wealth >= math.log(1 / risk) else "hold" if doubted else "pass"
    return Check("classes", share, KEPT, n, subjects, verdict, said)


def _single(paired: Paired) -> Check:
    """Nearly all windows have one answer, and the former version gives many of them another."""
    mix, former = paired.mix.sum(axis=0), paired.former_mix.sum(axis=0)
    n = int(mix.sum())
    subjects = int((paired.mix.sum(axis=1) > 0).sum()) if mix.size else 0
    if n < ENOUGH:
        said = f"single class: {n} windows; {ENOUGH} show what the new version answers."
        return Check("single class", None, MOST, n, subjects, "hold", said)
    most = int(np.argmax(mix))
    share, usual = float(mix[most] / n), float(former[most] / max(former.sum(), 1))
    said = (
        f"The new version's most frequent answer, {paired.activities[most]}, has {share:.0%} of {n} windows; the "
        f"former version gives it to {usual:.0%}."
    )
    swallows = share > MOST and usual < FORMER_MOST
    return Check("single class", share, MOST, n, subjects, "fail" if swallows else "pass", said)
