"""Makes a model's reference, and a profile, from the exported model and the windows of its training subjects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from har.inference import Classifier
from har.monitoring.drift._making import make_reference
from har.monitoring.drift._reference import Reference
from har.monitoring.drift._seen import Seen
from har.monitoring.profiles import Profile, chosen_features
from har.settings import Monitoring
from har.windows import WindowSet

REFERENCE = "reference.json"
"""The version's artifact for `Reference.read`."""
REFERENCE_PROFILE = "reference-profile.bin"
"""The version's artifact for `Profile.from_bytes`: a whylogs profile of the same windows."""
MOST_WINDOWS = 300_000
"""At most about this many windows: more would add nothing about how subjects differ, and take longer than training."""
_BATCH = 256


def reference_of(
    classifier: Classifier,
    windows: WindowSet,
    settings: Monitoring,
    *,
    regimes: Sequence[str] = (),
    placements: NDArray[np.str_] | None = None,
    seed: int = 0,
    most: int = MOST_WINDOWS,
) -> tuple[Reference, Profile]:
    """The reference that days are compared with, and a whylogs profile of the same windows.

    The profile is for people and for whylogs' own tools; it has the columns of the days' profiles.

    Args:
        classifier: the exported model.
        windows: of the subjects that it was trained or calibrated on, with a label or without; with dates.
        settings: which features.
        regimes: ISO dates at which a new distribution began, oldest first; the windows before them are regime 0.
        placements: str (N,), where the sensor was worn; None: unknown.
        seed: of the choice and of the reference.
        most: with more windows than this, whole recordings are drawn until the number is reached.

    Raises:
        MonitoringError: no feature is called as the settings say, fewer than two subjects, or whylogs is missing.
    """
    names = classifier.metadata.feature_names
    profiled = chosen_features(names, settings)
    columns = np.flatnonzero(np.isin(names, profiled))
    rows = _drawn(windows.recordings, most, seed)
    answers = classifier.predict_each(windows.select(rows).batches(_BATCH), features=columns)
    activities = np.array(classifier.metadata.activities)[answers.probabilities.argmax(axis=1)]
    confidence = answers.probabilities.max(axis=1, initial=0.0)
    seen = Seen(
        features=answers.features,
        confidence=confidence,
        activities=activities,
        subjects=windows.subjects[rows],
        recordings=windows.segments[rows],
        regimes=np.searchsorted(np.array(regimes, "datetime64[D]"), windows.dates[rows], side="right"),
        placements=None if placements is None else placements[rows],
        dates=windows.dates[rows],
    )
    profile = Profile.of(
        seen.features,
        profiled,
        confidence=answers.probabilities.max(axis=1, initial=0.0),
        activities=Counter(activities.tolist()),
    )
    return make_reference(seen, profiled, classes=classifier.metadata.activities, seed=seed), profile


def _drawn(recordings: NDArray[np.int32], most: int, seed: int) -> NDArray[np.int64]:
    """Rows of all recordings, or of drawn ones until they are at least `most` rows, in order."""
    if len(recordings) <= most:
        return np.arange(len(recordings))
    names, of, counts = np.unique(recordings, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    taken = order[: int(np.searchsorted(np.cumsum(counts[order]), most)) + 1]
    return np.flatnonzero(np.isin(of, taken))
