"""Doubts about the labels that a comparison rests on; with one, the gate leaves the promotion to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from har.evaluation._format import percent
from har.evaluation._gate import Verdict

_LEFT = "Left to a person: "
_LOOK = (
    "Look at the labels: har labels --batches and har labels --feedback list where they are from. Take back or reject "
    "what is wrong and train again, or promote by hand: har promote VERSION --reason WHY."
)


@dataclass(frozen=True)
class LabelEvidence:
    """What the labels say now, beside what they said when the champion was trained.

    Attributes:
        then: labelled windows by activity when the champion was trained; empty: not known.
        now: labelled windows by activity.
        accuracy_then: the champion's accuracy on held-out subjects when it was registered; None: not known.
        accuracy_now: on held-out subjects by the labels of now, on days before a new drift; None: there are none.
        windows_now: how many windows that is.
        sure: windows that only unreviewed feedback labels, and of which a model was sure.
        denied: those of them to which the feedback gives another activity than the model.
    """

    then: Mapping[str, int]
    now: Mapping[str, int]
    accuracy_then: float | None
    accuracy_now: float | None
    windows_now: int
    sure: int = 0
    denied: int = 0


@dataclass(frozen=True)
class LabelLimits:
    """Beyond these, a person looks at the labels.

    Attributes:
        champion_drop: how far the champion's accuracy on held-out subjects may fall between two trainings, 0 … 1.
        mix_change: how far an activity's share of the labelled windows may change, 0 … 1.
        denied_share: share of the windows that a model was sure of, to which feedback may give another activity.
        least_windows: with fewer windows, nothing is said about any of these.
    """

    champion_drop: float
    mix_change: float
    denied_share: float
    least_windows: int


def doubts(evidence: LabelEvidence, limits: LabelLimits) -> list[str]:
    """A sentence with figures per doubt; empty: the labels look as they did."""
    found = []
    then, now = evidence.accuracy_then, evidence.accuracy_now
    known = then is not None and now is not None and evidence.windows_now >= limits.least_windows
    if known and (then or 0) - (now or 0) > limits.champion_drop:
        found.append(
            f"by the labels of now, the champion's accuracy on held-out subjects is {percent(now or 0)} "
            f"({evidence.windows_now} windows); it was {percent(then or 0)} when it was trained. The same model on the "
            "same subjects became worse: the labels may be wrong (gates.champion_drop)."
        )
    moved = _moved(evidence, limits)
    if moved:
        found.append(
            f"the mix of activities jumped since the champion was trained: {moved} of the labelled windows "
            "(gates.mix_change)."
        )
    if evidence.sure >= limits.least_windows and evidence.denied > limits.denied_share * evidence.sure:
        found.append(
            f"feedback that nobody has reviewed names another activity in {evidence.denied} of {evidence.sure} windows "
            "that the model was sure of (gates.denied_share)."
        )
    return found


def leave_to_a_person(verdict: Verdict, doubts: list[str]) -> Verdict:
    """The verdict with the check `labels` failed and the doubts as its first reasons; unchanged without doubts."""
    if not doubts:
        return verdict
    return replace(
        verdict,
        promote=False,
        reasons=[*(f"{_LEFT}{doubt}" for doubt in doubts), _LOOK, *verdict.reasons],
        checks={"labels": False, **verdict.checks},
    )


def is_left_to_a_person(reasons: tuple[str, ...]) -> bool:
    """Whether a verdict with these reasons waits for a person because of the labels."""
    return bool(reasons) and reasons[0].startswith(_LEFT)


def _moved(evidence: LabelEvidence, limits: LabelLimits) -> str:
    """The activities whose share changed too much, such as "PEN from 14.3 % to 80.0 %"."""
    totals = [sum(counts.values()) for counts in (evidence.then, evidence.now)]
    if min(totals) < max(1, limits.least_windows):
        return ""
    shares = {
        name: (evidence.then.get(name, 0) / totals[0], evidence.now.get(name, 0) / totals[1])
        for name in sorted({*evidence.then, *evidence.now})
    }
    moved = {name: share for name, share in shares.items() if abs(share[1] - share[0]) > limits.mix_change}
    return ", ".join(f"{name} from {percent(then)} to {percent(now)}" for name, (then, now) in moved.items())
