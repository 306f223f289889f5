"""Where a release stands, and which move is next: values and a pure function, so that each rule can be tested alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from har.errors import ReleaseError
from har.release._plan import Plan, Step

Phase = Literal["starting", "step", "keeping", "ended"]
"""`starting`: packaged, and its replicas started; `keeping`: it serves everybody, the former version is still ready."""

Ending = Literal["", "promoted", "rolled back", "held too long", "aborted"]
Word = Literal["", "pass", "fail", "hold"]
Measure = Mapping[str, Any]
"""A compared figure, as it is written down: name, value, limit, n, subjects, verdict."""


@dataclass(frozen=True)
class State:
    """One release, as `release.json` has it.

    Attributes:
        release: its id, and the salt of the split by subject.
        version: of the model that is released.
        tag: of its bento, or its image; "" until it is packaged.
        former: the version that served before.
        former_tag: its bento or image.
        champion_before: the registry's champion when it began.
        who: started it.
        why: in words.
        back: to a version that served before, at once and without a judge.
        phase: what is done.
        step: number of the plan's step, from 0.
        share: of the subjects whom the new version serves.
        began: when the release began, in seconds since 1970, as are all times.
        step_began: when this step did.
        passed_by: who took this step in place of the judge; "" for the judge.
        paused_by: the person who paused it; "" if nobody did.
        hold_since: since when the step could have ended, but did not.
        missing: what the judge lacks, in sentences.
        verdict: the last one about this step.
        measures: of that verdict.
        trouble: why it cannot be watched as it should be; "" for nothing.
        outcome: how it ended.
        reason: of the outcome.
        ended: when.
    """

    release: str
    version: int
    tag: str = ""
    former: int = 0
    former_tag: str = ""
    champion_before: int = 0
    who: str = ""
    why: str = ""
    back: bool = False
    phase: Phase = "starting"
    step: int = 0
    share: float = 0.0
    began: float = 0.0
    step_began: float = 0.0
    passed_by: str = ""
    paused_by: str = ""
    hold_since: float | None = None
    missing: tuple[str, ...] = ()
    verdict: Word = ""
    measures: tuple[Measure, ...] = ()
    trouble: str = ""
    outcome: Ending = ""
    reason: str = ""
    ended: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.phase == "ended"

    def to_json(self) -> str:
        """For the file."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> State:
        """From the file; fields that a newer release added are ignored.

        Raises:
            ReleaseError: it is no state of a release.
        """
        try:
            content = json.loads(text)
            known = {field.name for field in fields(cls)}
            values = {name: value for name, value in content.items() if name in known}
            values["missing"] = tuple(values.get("missing", ()))
            values["measures"] = tuple(values.get("measures", ()))
            return cls(**values)
        except (ValueError, TypeError, AttributeError) as error:
            raise ReleaseError(
                where=where,
                expected="the state of a release",
                got=f"{type(error).__name__}: {error}",
                remedy="Remove the file; har release abort lets the former version serve everybody.",
            ) from error

    def entering(self, number: int, step: Step, now: float, *, by: str = "") -> State:
        """At the beginning of a step."""
        return replace(
            self,
            phase="step",
            step=number,
            share=step.share,
            step_began=now,
            passed_by=by,
            hold_since=None,
            missing=(),
            verdict="",
            measures=(),
        )


@dataclass(frozen=True)
class Judged:
    """The judge's verdict about a step so far.

    Attributes:
        verdict: `hold` as long as the evidence is not enough.
        measures: what was compared.
        missing: what is not there yet, in sentences.
        reason: in a sentence.
    """

    verdict: Word
    measures: tuple[Measure, ...] = ()
    missing: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Move:
    """What is to be done now.

    Attributes:
        what: `stay`, go to the `next` step, or `end`.
        outcome: of an end.
        reason: in a sentence.
        missing: what the step waits for, in sentences.
    """

    what: Literal["stay", "next", "end"]
    outcome: Ending = ""
    reason: str = ""
    missing: tuple[str, ...] = ()


def next_move(state: State, plan: Plan, judged: Judged | None, *, now: float) -> Move:
    """What follows from the judge's last verdict about the present step.

    A verdict to fail counts at once. One to pass counts once the step has lasted as long as it must. Without a verdict
    to pass, the release stays where it is, whatever the reason, until `hold_s` are over: it never goes on for lack of
    data.

    Args:
        state: in the phase `step`.
        plan: its steps.
        judged: None: the judge has not answered about this step yet.
        now: seconds since 1970.
    """
    step = plan.steps[state.step]
    if judged is not None and judged.verdict == "fail":
        return Move("end", "rolled back", judged.reason)
    left = state.step_began + step.dwell_s - now
    if not plan.judged:
        missing: tuple[str, ...] = ()
    elif judged is None:
        missing = ("the judge's first answer about this step",)
    elif judged.verdict == "pass":
        missing = ()
    else:
        missing = judged.missing or (judged.reason,)
    if left > 0:
        return Move("stay", missing=(f"{left:.0f} s of the {step.dwell_s:g} s that this step lasts at least", *missing))
    if state.paused_by:
        return Move("stay", missing=(f"har release resume, because {state.paused_by} paused it", *missing))
    if not missing:
        return Move("next", reason=judged.reason if judged else "the hard limits held")
    if state.hold_since is not None and now - state.hold_since >= plan.hold_s:
        reason = f"not enough evidence for {plan.hold_s / 3600:g} h. Missing: {'; '.join(missing)}"
        return Move("end", "held too long", reason, missing)
    return Move("stay", missing=missing)
