"""What a figure means: how recordings become windows, and subjects become folds.

`ours` is what `har evaluate` does. `whar-arena` is the protocol of WHAR Arena (Burzer et al. 2026, arXiv 2606.13194) as
its authors publish it in `evaluation/protocol.yaml` of teco-kit/whar-arena, with the subject groups and windows of
teco-kit/whar-datasets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from har.cutting import ORDER, matrix, run_ids
from har.dataset import load_windows
from har.errors import NotEnoughDataError
from har.experiment import labelled
from har.lake import Lake
from har.settings import Settings
from har.windows import WindowSet, cut, group_folds

Folds = tuple[tuple[str, ...], ...]
"""The subjects of each fold."""


@dataclass(frozen=True)
class Protocol:
    """One way to come from a lake to figures.

    Attributes:
        name: how it is asked for.
        configure: the settings with the protocol's windows.
        windows: the labelled windows of a lake under these settings.
        folds: the subjects of each fold, from the windows and the settings.
        statement: what was done, one line per question; every figure is published with it.
    """

    name: str
    configure: Callable[[Settings], Settings]
    windows: Callable[[Lake, Settings], WindowSet]
    folds: Callable[[WindowSet, Settings], Folds]
    statement: dict[str, str]


def round_robin(subjects: Sequence[str], groups: int) -> Folds:
    """Groups of subjects as WHAR Arena's code deals them: sorted, the i-th to group i modulo the number of groups.

    Fewer subjects than groups make one group each.
    """
    everyone = sorted(set(subjects))
    if len(everyone) < 3:
        raise NotEnoughDataError(
            where=f"{groups} groups of subjects",
            expected="at least 3 subjects with labelled windows",
            got=str(len(everyone)),
            remedy="Import recordings of more subjects.",
        )
    return tuple(tuple(everyone[first::groups]) for first in range(min(groups, len(everyone))))


def interval_windows(lake: Lake, settings: Settings) -> WindowSet:
    """Windows of which each lies within one label interval; the first begins where its interval does.

    Samples without a label and samples after a gap end an interval. No window is left out for its signal.
    """
    columns = ["date", "subject", "session", "segment", "time", "activity", *lake.channels]
    frame = lake.samples.collect(lake.samples.scan().select(columns).sort(ORDER))
    names = settings.activities.all
    labels = frame["activity"].replace_strict(names, range(len(names)), default=-1).fill_null(-1).to_numpy()
    windows = cut(
        matrix(frame, lake.channels),
        intervals(run_ids(frame), labels),
        length=settings.length,
        stride=settings.stride,
        labels=labels.astype(np.int16),
        purity=1.0,
        subjects=frame["subject"].to_numpy().astype(str),
    )
    return labelled(windows)


def intervals(segments: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Number the runs of samples that share segment and label, int32 (n,)."""
    changed = (np.diff(segments, prepend=segments[:1]) != 0) | (np.diff(labels, prepend=labels[:1]) != 0)
    return np.cumsum(changed, dtype=np.int32)


def _with_windows(settings: Settings, **values: float) -> Settings:
    return settings.model_copy(update={"windows": settings.windows.model_copy(update=values)})


def _our_folds(windows: WindowSet, settings: Settings) -> Folds:
    return tuple(group_folds(Counter(windows.subjects.tolist()), settings.split.folds))


OURS = Protocol(
    name="ours",
    configure=lambda settings: settings,
    windows=lambda lake, settings: labelled(load_windows(lake, settings)),
    folds=_our_folds,
    statement={
        "Windows": "of the length and overlap of the set's har.toml (above its table), cut from recordings; the "
        "label is that of most samples, and a window with less than windows.purity of one label is left out, as is one "
        "of a sensor that was off or stuck",
        "Folds": "GroupKFold by subject: nobody is in training and test",
        "Training": "every peer gets the windows of all other folds; a network takes a fifth of their subjects to "
        "choose its epoch and temperature, and then trains on all",
        "Figures": "over all windows of all folds; mean over seeds; 95 % intervals by resampling subjects",
    },
)
ARENA = Protocol(
    name="whar-arena",
    configure=lambda settings: _with_windows(settings, length_s=3.0, overlap=0.5),
    windows=interval_windows,
    folds=lambda windows, settings: round_robin(windows.subjects.tolist(), 10),
    statement={
        "Windows": "3 s, half overlap, at the rate of the recordings; each label interval is a session, so no window "
        "crosses a change of label or a gap; no window is left out",
        "Folds": "10 groups of subjects, dealt round robin from the sorted names",
        "Training": "every peer gets the windows of all other groups. The recipe is each peer's own: WHAR Arena trains "
        "its networks with AdamW at 1e-3 and a class-weighted loss on 80 % of these windows, and stops on the others, "
        "which come from the same people; ours stops on other people",
        "Figures": "macro-F1 by groups is WHAR Arena's: per group over all activities (0 for one that the group does "
        "not have), then the mean over groups. Accuracy and macro-F1 over all windows stand beside it",
    },
)
PROTOCOLS = {protocol.name: protocol for protocol in (OURS, ARENA)}
