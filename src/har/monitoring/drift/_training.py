"""A model file and the windows of the subjects it was trained on in, its reference and their profile out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from har.inference import Classifier
from har.monitoring.drift._reference import Reference, make_reference
from har.monitoring.profiles._profile import Profile, chosen_features
from har.settings import Monitoring
from har.windows import WindowSet

REFERENCE = "reference.json"
"""The version's artifact that `Reference.read` takes."""
REFERENCE_PROFILE = "reference-profile.bin"
"""The version's artifact that `Profile.from_bytes` takes: the same windows as whylogs profiles them."""
MOST_WINDOWS = 300_000
"""More say nothing new about how subjects differ, and would take longer than the training."""
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
    """What the model sees of its own training subjects: what days are judged by, and a whylogs profile of it.

    The profile is for people and for whylogs' own tools; it has the columns of the days' profiles.

    Args:
        classifier: the exported model.
        windows: of the subjects that it was trained or calibrated on, with a label or without; with dates.
        settings: which features.
        regimes: ISO dates at which a new distribution began, oldest first; the windows before them are regime 0.
        placements: str (N,), where the sensor was worn; None: unknown.
        seed: of the choice and of the reference.
        most: with more windows than this, whole recordings are drawn until it is reached.

    Raises:
        MonitoringError: no feature is called as the settings say, fewer than two subjects, or whylogs is missing.
    """
    names = classifier.metadata.feature_names
    profiled = chosen_features(names, settings)
    columns = np.flatnonzero(np.isin(names, profiled))
    rows = _drawn(windows.recordings, most, seed)
    probabilities = np.empty((len(rows), len(classifier.metadata.activities)), np.float32)
    features = np.empty((len(rows), len(columns)), np.float32)
    for first in range(0, len(rows), _BATCH):
        part = slice(first, first + _BATCH)
        answer = classifier.predict(windows.batch(rows[part]))
        probabilities[part], features[part] = answer.probabilities, answer.features[:, columns]
    activities = np.array(classifier.metadata.activities)[probabilities.argmax(axis=1)]
    confidence = probabilities.max(axis=1, initial=0.0)
    profile = Profile.of(features, profiled, confidence=confidence, activities=Counter(activities.tolist()))
    reference = make_reference(
        features,
        profiled,
        subjects=windows.subjects[rows],
        recordings=windows.segments[rows],
        regimes=np.searchsorted(np.array(regimes, "datetime64[D]"), windows.dates[rows], side="right"),
        confidence=confidence,
        activities=activities,
        placements=None if placements is None else placements[rows],
        classes=classifier.metadata.activities,
        seed=seed,
    )
    return reference, profile


def _drawn(recordings: NDArray[np.int32], most: int, seed: int) -> NDArray[np.int64]:
    """The rows of all recordings, or of so many drawn ones that they are `most` or just more, in order."""
    if len(recordings) <= most:
        return np.arange(len(recordings))
    names, of, counts = np.unique(recordings, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    taken = order[: int(np.searchsorted(np.cumsum(counts[order]), most)) + 1]
    return np.flatnonzero(np.isin(of, taken))
