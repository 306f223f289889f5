"""Group refusals that say the same, so that each sentence is read once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from har.importing._staged import Refused

_EXAMPLES = 3
_DIGITS = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True)
class Group:
    """Refusals of one kind.

    Attributes:
        first: one of them, whose message stands for all.
        sources: all sources, in order; a source with several refusals counts once.
    """

    first: Refused
    sources: tuple[str, ...]

    def text(self, root: str) -> str:
        """The message, with the number of files and three examples, whose paths are relative to `root`."""
        error = self.first.error
        if len(self.sources) == 1:
            text = str(error)
            return text if text.startswith(self.first.source) else f"{self.first.source}: {text}"
        named = ", ".join(source.removeprefix(f"{root.rstrip('/')}/") for source in self.sources[:_EXAMPLES])
        more = f" and {len(self.sources) - _EXAMPLES} more" if len(self.sources) > _EXAMPLES else ""
        what = error.problem or f"expected {error.expected}, but got {error.got}"
        return f"{len(self.sources)} ({named}{more}): {what}. {error.remedy}"


def grouped(refused: Sequence[Refused]) -> list[Group]:
    """The refusals by what they say, numbers left out; the most frequent first."""
    groups: dict[tuple[str, ...], list[Refused]] = {}
    for one in refused:
        error = one.error
        texts = (error.expected, error.problem, error.remedy)
        key = (type(error).__name__, *(_DIGITS.sub("#", text.replace(one.source, "")) for text in texts))
        groups.setdefault(key, []).append(one)
    found = [Group(group[0], tuple(dict.fromkeys(one.source for one in group))) for group in groups.values()]
    return sorted(found, key=lambda group: -len(group.sources))
