"""A window to label, as it is prepared, and whose turn it is."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from har.labelling._agreement import verdict_of
from har.labelling._answers import Answer
from har.labelling._names import UNSURE, UNUSABLE

MOST_PEOPLE = 3
"""A window is given to no more people than this, however much they disagree."""
_BY_SHARE = 2**32


@dataclass(frozen=True)
class Task:
    """A window to label, in its context.

    Attributes:
        task: its id.
        subject: whose movement it is.
        session: the recording.
        date: of the recording, ISO.
        start_us: of the window, since 1970 in UTC.
        end_us: its end.
        rank: 1 is the most helpful.
        reason: why it is asked.
        guesses: the model's best activities with their confidence, the best first.
        model_version: which model guesses; None: nobody does.
        place: of the sensor and device, such as "wrist, watch-3"; "": unknown.
        from_us: where the shown signal begins.
        to_us: where it ends.
        signal: JSON of the downsampled channels.
        people: by how many people it is to be answered.
    """

    task: str
    subject: str
    session: str
    date: str
    start_us: int
    end_us: int
    rank: int
    reason: str
    guesses: tuple[tuple[str, float], ...]
    model_version: int | None
    place: str
    from_us: int
    to_us: int
    signal: bytes
    people: int = 1


@dataclass(frozen=True)
class Progress:
    """How far the labelling is.

    Attributes:
        done: open tasks that need no further answer.
        left: open tasks that do.
        yours: those of them that this labeller can still answer.
        answered: this labeller's answers to open tasks.
        per_hour: this labeller's answers of the last hour, per hour of the time that they took; None: fewer than two.
    """

    done: int
    left: int
    yours: int
    answered: int
    per_hour: float | None


def task_id(subject: str, session: str, start_us: int, end_us: int) -> str:
    """The id of a window's task: equal whenever the window is asked for again."""
    text = "\n".join((subject, session, str(start_us), str(end_us)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_shared(task: str, share: float) -> bool:
    """Whether a task is among the share that two people answer; always the same for the same task."""
    return int(hashlib.sha256(f"shared\n{task}".encode()).hexdigest()[:8], 16) < share * _BY_SHARE


def still_needed(people: int, answers: Sequence[Answer]) -> int:
    """How many more answers a task needs: whoever was unsure decided nothing, and a dispute needs one more."""
    decided = [answer.activity or UNUSABLE for answer in answers if answer.verdict != UNSURE]
    wanted = people if not decided or verdict_of(decided) is not None else max(people, len(decided) + 1)
    return max(0, min(wanted - len(decided), MOST_PEOPLE - len(answers)))


def may_answer(labeller: str, people: int, answers: Sequence[Answer], claimed_by: Collection[str] = ()) -> bool:
    """Whether a task needs this labeller's answer, and nobody else is at work on it."""
    if any(answer.labeller == labeller for answer in answers):
        return False
    others = len(set(claimed_by) - {labeller} - {answer.labeller for answer in answers})
    return still_needed(people, answers) > others


def in_order(ranks: Mapping[str, int], skips: Mapping[str, int]) -> list[str]:
    """Task ids, those first that this labeller skipped least often, then by rank."""
    return sorted(ranks, key=lambda task: (skips.get(task, 0), ranks[task], task))
