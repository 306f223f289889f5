"""The steps of a release: which share of the subjects meets the new version, and what ends each step."""

from __future__ import annotations

from dataclasses import dataclass

from har.settings import Settings

SHADOW = "shadow"
"""Name of step 0, in which no client sees an answer of the new version."""

MIRROR = 0.5
"""Share of the requests of which the new version gets a copy while it is a shadow."""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: for people, such as "shadow" or "25 %".
        share: of the subjects whom the new version serves, 0 to 1.
        mirror: share of the other subjects' requests of which it gets a copy.
        dwell_s: the step lasts at least this long …
        requests: … and until the new version has answered so many requests …
        subjects: … of so many subjects.
    """

    name: str
    share: float
    mirror: float = 0.0
    dwell_s: float = 0.0
    requests: int = 0
    subjects: int = 0


@dataclass(frozen=True)
class Plan:
    """What a release goes through.

    Attributes:
        steps: in their order; the last one has share 1.
        hold_s: a step without enough evidence for this long ends the release.
        keep_former_s: after the last step the former version stays ready for this long.
        lease_s: the former version serves everybody once nobody has watched for this long.
        judged: False: no judge is asked, only hard limits count. The way back to a version that served before.
    """

    steps: tuple[Step, ...]
    hold_s: float
    keep_former_s: float
    lease_s: float
    judged: bool = True

    @classmethod
    def of(cls, settings: Settings, *, back: bool = False) -> Plan:
        """The plan of har.toml's `[release]`.

        Args:
            settings: the project's.
            back: to a version that served before: everybody at once, without a judge.
        """
        chosen = settings.release
        if back:
            steps = [Step(percent(1.0), 1.0)]
        else:
            least = {"dwell_s": chosen.dwell_s, "requests": chosen.requests, "subjects": chosen.subjects}
            shares = [Step(percent(share), share, **least) for share in chosen.steps]  # type: ignore[arg-type]
            shadow = [Step(SHADOW, 0.0, MIRROR, **least)] if chosen.shadow else []  # type: ignore[arg-type]
            steps = [*shadow, *shares]
        return cls(tuple(steps), 3600 * chosen.hold_h, chosen.keep_former_s, chosen.lease_s, judged=not back)


def percent(share: float) -> str:
    """A share for people: "5 %"."""
    return f"{100 * share:g} %"
