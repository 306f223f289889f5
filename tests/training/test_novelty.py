"""How unlike the training data a window is: in torch's file as computed here, calibrated on subjects left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from har.errors import TrainingError
from har.inference import SHARES, Classifier, ModelMetadata
from har.training import Fitted, Novelty, export, learn_novelty
from har.windows import WindowSet

Windows = Callable[..., WindowSet]
Describe = Callable[[Fitted], ModelMetadata]


@pytest.fixture(scope="module")
def windows(fitted: Fitted, make_windows: Windows) -> WindowSet:
    return make_windows(fitted.signal, subjects=12)


@pytest.fixture(scope="module")
def novelty(fitted: Fitted, windows: WindowSet) -> Novelty:
    found = learn_novelty(fitted, windows)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def classifier(
    fitted: Fitted, novelty: Novelty, describe_model: Describe, tmp_path_factory: pytest.TempPathFactory
) -> Classifier:
    metadata = replace(describe_model(fitted), distances=novelty.distances)
    path = export(fitted, tmp_path_factory.mktemp("model") / "model.onnx", metadata, novelty=novelty)
    return Classifier(path, threads=1)


def test_the_file_computes_the_same_distance(classifier: Classifier, novelty: Novelty, windows: WindowSet) -> None:
    found = classifier.predict_exactly(windows.batch())
    assert found.distance is not None
    assert found.distance.shape == (len(windows),)
    np.testing.assert_allclose(found.distance, novelty.distance(found.features), rtol=1e-3, atol=1e-4)


def test_the_files_answers_do_not_depend_on_the_batch(classifier: Classifier, windows: WindowSet) -> None:
    whole = classifier.predict_exactly(windows.batch(slice(100)))
    part = classifier.predict_exactly(windows.batch(slice(33, 40)))
    assert whole.distance is not None
    assert part.distance is not None
    assert part.distance.tobytes() == whole.distance[33:40].tobytes()
    assert part.probabilities.tobytes() == whole.probabilities[33:40].tobytes()


def test_it_is_a_mahalanobis_distance_with_one_variance_for_the_rest(
    fitted: Fitted, novelty: Novelty, windows: WindowSet
) -> None:
    features = fitted.describe(windows.batch()).astype(np.float64)
    z = np.clip((features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 0.01), -30, 30)
    centres = np.stack([z[windows.labels == label].mean(axis=0) for label in range(3)])
    rest = z - centres[windows.labels]
    variances, directions = np.linalg.eigh(rest.T @ rest / len(rest))
    variances[:-64] = max(variances[:-64].mean(), 1e-3)
    inverse = (directions / np.maximum(variances, variances[0])) @ directions.T
    away = z[::9, None, :] - centres
    expected = ((away @ inverse) * away).sum(axis=2).min(axis=1) / z.shape[1]
    np.testing.assert_allclose(novelty.distance(features[::9]), expected, rtol=1e-6)


def test_held_out_subjects_exceed_a_distance_as_often_as_said(fitted: Fitted, make_windows: Windows) -> None:
    """Of subjects drawn alike, a tenth of the windows lies beyond the distance of a tenth, within a factor."""
    every = make_windows(fitted.signal, subjects=40, seconds=10.0)
    known = tuple(f"s{number:02d}" for number in range(20))
    novelty = learn_novelty(fitted, every.for_subjects(known))
    assert novelty is not None
    others = every.select(~np.isin(every.subjects, known))
    far = novelty.distance(fitted.describe(others.batch()).astype(np.float64))
    limit = novelty.distances[SHARES.index(0.1)]
    assert 0.01 < (far > limit).mean() < 0.3
    assert list(novelty.distances) == sorted(novelty.distances, reverse=True)


def test_what_nobody_did_lies_far(classifier: Classifier, windows: WindowSet) -> None:
    usual = windows.batch(slice(200))
    generator = np.random.default_rng(0)
    strange = {
        "turned": usual[:, :, [2, 0, 1, 5, 3, 4]],
        "noise": usual + generator.normal(0, 4, usual.shape).astype(np.float32),
        "at rest on its side": np.tile(np.array([0, 9.8, 0, 0, 0, 0], np.float32), (50, usual.shape[1], 1)),
    }
    limit = classifier.metadata.unknown_beyond(0.01)
    found = classifier.predict_exactly(usual).distance
    assert found is not None
    assert (found > limit).mean() < 0.05
    for name, values in strange.items():
        far = classifier.predict_exactly(values).distance
        assert far is not None
        assert (far > limit).mean() > 0.9, name


def test_the_setting_chooses_the_share(classifier: Classifier) -> None:
    limits = [classifier.metadata.unknown_beyond(share) for share in (0.0, 0.001, 0.01, 0.0141, 0.02, 0.49)]
    assert limits[0] == np.inf
    assert limits == sorted(limits, reverse=True)
    at = dict(zip(SHARES, classifier.metadata.distances, strict=True))
    assert limits[2] == pytest.approx(at[0.01])
    assert limits[3] == pytest.approx((at[0.01] + at[0.02]) / 2, rel=0.02)


def test_too_few_to_learn_from(fitted: Fitted, make_windows: Windows) -> None:
    windows = make_windows(fitted.signal, subjects=6)
    assert learn_novelty(fitted, windows.for_subjects(("s00", "s01"))) is None
    assert learn_novelty(fitted, windows.select(slice(0, len(windows), len(windows) // 50))) is None


def test_a_file_without_it_is_as_those_of_older_releases(
    fitted: Fitted, novelty: Novelty, describe_model: Describe, tmp_path: Path
) -> None:
    metadata = describe_model(fitted)
    plain = Classifier(export(fitted, tmp_path / "model.onnx", metadata), threads=1)
    assert plain.predict(np.zeros((1, 100, 6), np.float32)).distance is None
    names = [output.name for output in onnxruntime.InferenceSession(tmp_path / "model.onnx").get_outputs()]
    assert names == ["probabilities", "features"]
    with pytest.raises(TrainingError, match="distances"):
        export(fitted, tmp_path / "other.onnx", metadata, novelty=novelty)
