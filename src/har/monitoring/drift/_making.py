"""Makes a model's reference from what it saw of its training subjects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from har.monitoring.drift._bins import ACTIVITY, activity_codes, codes, edges, family, shares
from har.monitoring.drift._calibration import Level, SubjectWindows, calibrate
from har.monitoring.drift._own_calibration import OwnWindows, calibrate_own
from har.monitoring.drift._reference import Reference, Stratum
from har.monitoring.drift._seen import Seen, refuse
from har.monitoring.profiles import CONFIDENCE

_FEWEST = 2
_STRATUM = 3
"""A placement with fewer subjects than this has no stratum of its own."""


def make_reference(
    seen: Seen, names: Sequence[str], *, classes: Sequence[str] | None = None, seed: int = 0
) -> Reference:
    """Make a model's reference from what it saw of its training subjects.

    Args:
        seen: N windows.
        names: of the F features.
        classes: all that the model can answer; None: those in `seen.activities`.
        seed: of the simulated days.

    Raises:
        MonitoringError: another number of names than features, or fewer than two subjects.
    """
    if seen.features.shape[1] != len(names):
        raise refuse(f"{len(names)} features, one per name", f"features {seen.features.shape}")
    known = tuple(classes) if classes is not None else tuple(sorted(set(seen.activities.tolist())))
    values = seen.values
    cuts = edges(values)
    found = np.concatenate([codes(values, cuts), activity_codes(seen.activities, known)], axis=1)
    families = [family(name) for name in (*names, CONFIDENCE, *(f"{ACTIVITY}{name}" for name in known))]
    quartiles = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    return Reference(
        features=tuple(names),
        activities=known,
        edges=cuts,
        median=quartiles[1],
        deviation=values.std(0),
        spread=quartiles[2] - quartiles[0],
        strata=_strata(seen, found, families, np.random.default_rng(seed)),
        own=_own_levels(seen, found[:, : len(names)], families[: len(names)], known, np.random.default_rng(seed)),
    )


def _strata(
    seen: Seen, found: NDArray[np.uint8], families: Sequence[str], random: np.random.Generator
) -> tuple[Stratum, ...]:
    """One stratum per regime, and one per placement that enough of its subjects share; `found`: codes (N, Q)."""
    strata: list[Stratum] = []
    for regime in sorted(set(seen.regimes.tolist())):
        worn = set() if seen.placements is None else set(seen.placements[seen.rows(regime)].tolist())
        for placement in ("", *(sorted(worn - {""}) if len(worn) > 1 else ())):
            subjects = _by_subject(seen, found, seen.rows(regime, placement))
            if placement and len(subjects) < _STRATUM:
                continue
            mean = np.stack([shares(one.codes) for one in subjects]).mean(0)
            if len(subjects) >= _FEWEST:
                levels = calibrate(subjects, families, random=random)
            elif strata:
                # One subject cannot show how much subjects differ; those of the first regime can.
                levels = strata[0].levels
            else:
                raise refuse("two subjects at least: days are judged by how much subjects differ", str(len(subjects)))
            strata.append(Stratum(regime, placement, mean, levels))
    return tuple(strata)


def _own_levels(
    seen: Seen,
    found: NDArray[np.uint8],
    families: Sequence[str],
    activities: Sequence[str],
    random: np.random.Generator,
) -> dict[str, Level]:
    """How far subjects' days lie from their own history; `found`: the features' codes (N, F)."""
    places = {name: place for place, name in enumerate(activities)}
    answers = np.array([places[name] for name in seen.activities.tolist()], np.int64)
    worn = np.full(len(found), "") if seen.placements is None else seen.placements
    subjects = []
    for name in np.unique(seen.subjects):
        rows = np.flatnonzero(seen.subjects == name)
        # A history is of one placement and one regime: those with the most windows.
        where, of, counts = np.unique(
            np.rec.fromarrays([worn[rows], seen.regimes[rows]]), return_inverse=True, return_counts=True
        )
        rows = rows[of == counts.argmax()] if len(where) > 1 else rows
        rows = rows[np.argsort(seen.recordings[rows], kind="stable")]
        dates = None if seen.dates is None else seen.dates[rows]
        subjects.append(OwnWindows(found[rows], answers[rows], seen.recordings[rows], dates))
    return calibrate_own(subjects, families, len(activities), random=random)


def _by_subject(seen: Seen, found: NDArray[np.uint8], rows: NDArray[np.int64]) -> list[SubjectWindows]:
    subjects = []
    for name in np.unique(seen.subjects[rows]):
        windows = rows[seen.subjects[rows] == name]
        # A recording's windows become adjacent, in their order.
        windows = windows[np.argsort(seen.recordings[windows], kind="stable")]
        subjects.append(SubjectWindows(found[windows], seen.recordings[windows]))
    return subjects
