"""What people said about windows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Given:
    """An answer as the page sends it.

    Attributes:
        answer: an id that the page made; the same id is the same answer, however often it comes.
        task: what it answers.
        labeller: who says so.
        verdict: one of `VERDICTS`.
        activity: of a label; None of the other verdicts.
        start_us: from when, since 1970 in UTC; None of the other verdicts.
        end_us: until when.
        source: where it came from, and with which token, as `har.log_lines` writes it.
    """

    answer: str
    task: str
    labeller: str
    verdict: str
    activity: str | None
    start_us: int | None
    end_us: int | None
    source: str


@dataclass(frozen=True)
class Answer(Given):
    """An answer as it is stored: when it was given, and when it was taken back, both in µs since 1970."""

    answered_us: int = 0
    undone_us: int | None = None


@dataclass(frozen=True)
class Settled:
    """A task whose answers changed since the lake saw them, with all of them, also those taken back.

    Attributes:
        task: its id.
        subject: whose movement it is.
        version: of the answers; `Store.mark_collected` takes it.
        answers: in the order in which they were given.
    """

    task: str
    subject: str
    version: int
    answers: tuple[Answer, ...]
