"""What the page `/label` sends, and what it gets."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import orjson

from har.errors import RequestError
from har.labelling import LABELLER, LABELLER_RULE, Answer, Given, Progress, Task
from har.log_lines import END_STAMP_US, is_authenticated

Labeller = Annotated[str, msgspec.Meta(pattern=LABELLER)]
TaskId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}\\Z")]
AnswerId = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9-]{8,64}\\Z")]
Stamp = Annotated[int, msgspec.Meta(ge=0, lt=END_STAMP_US)]
Body = TypeVar("Body", bound="Next")


class Next(msgspec.Struct, forbid_unknown_fields=True):
    """Show me a task."""

    labeller: Labeller


class Skip(Next, forbid_unknown_fields=True):
    """Show me another one."""

    task: TaskId


class Undo(Next, forbid_unknown_fields=True):
    """Take my answer back."""

    answer: AnswerId


class Answered(Next, forbid_unknown_fields=True):
    """Store my answer; the activity and its interval belong to a label alone."""

    task: TaskId
    answer: AnswerId
    verdict: Literal["label", "unusable", "unsure"]
    activity: str | None = None
    start_us: Stamp | None = None
    end_us: Stamp | None = None

    def given(self, source: str, activities: Sequence[str]) -> Given:
        """The answer for the store.

        Raises:
            RequestError: an unknown activity; or a label without an interval, or an interval without a label.
        """
        of_label = (self.activity, self.start_us, self.end_us)
        if self.verdict == "label" and None in of_label:
            raise _refused("activity, start_us, end_us", "all three of a label", "fewer", "Send them together.")
        if self.verdict != "label" and of_label != (None, None, None):
            raise _refused(
                "verdict", "label, as there is an activity or an interval", self.verdict, "Send one of both."
            )
        if self.activity is not None and self.activity not in activities:
            expected = f"one of {', '.join(activities)}"
            raise _refused("activity", expected, self.activity[:80], "Choose one of the project's activities.")
        interval = (self.start_us, self.end_us)
        source = f"{self.labeller} at {source}"
        return Given(self.answer, self.task, self.labeller, self.verdict, self.activity, *interval, source)


def read(body: bytes, kind: type[Body]) -> Body:
    """A body as one of these structures; the labeller's name in Unicode's composed form.

    Raises:
        RequestError: it is none.
    """
    try:
        content = msgspec.json.decode(body)
        if isinstance(content, dict) and isinstance(content.get("labeller"), str):
            content["labeller"] = unicodedata.normalize("NFC", content["labeller"]).strip()
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        is_name = "labeller" in where
        expected = f"a name: {LABELLER_RULE}" if is_name else f"{', '.join(kind.__struct_fields__)} of their kinds"
        raise _refused(where.strip("`$.") or "body", expected, what, "Reload the page.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refused("body", "a JSON object", str(error), "Reload the page.") from error


def compose(task: Task | None, progress: Progress, recent: Sequence[Answer], source: str, why: str = "") -> bytes:
    """What the page shows next.

    `counts` says whether the labels of whoever asks are a person's word: those that come with a token.
    """
    shown: dict[str, Any] | None = None
    if task is not None:
        shown = {name: value for name, value in vars(task).items() if name != "signal"}
        shown["signal"] = orjson.Fragment(task.signal)
    answers = [
        {"answer": one.answer, "task": one.task, "verdict": one.verdict, "activity": one.activity} for one in recent
    ]
    content = {"task": shown, "progress": vars(progress), "recent": answers, "counts": is_authenticated(source)}
    return orjson.dumps({**content, "why": why})


def _refused(where: str, expected: str, got: str, remedy: str) -> RequestError:
    return RequestError(where=where, expected=expected, got=got, remedy=remedy)
