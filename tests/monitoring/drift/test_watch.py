"""Days are judged rightly: rates without drift, persistence, regimes, and what real recordings with a fault lead to."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from har.errors import MonitoringError
from har.monitoring.drift import DayReport, OwnDay, Reference, Seen, make_reference, watch_day
from har.monitoring.profiles import Profile, SubjectDay
from har.sample import sample_recordings
from har.settings import STANDARD_GRAVITY, Drift

SETTINGS = Drift()
DAY = dt.date(2024, 3, 1)
NAMES = ("a_x.mean", "a_y.mean", "a_norm.mean", "a_x.log_var")


def person(seed: int, windows: int = 200, *, moved: float = 0.0) -> NDArray[np.float32]:
    """Windows (N, 4) of a made-up subject: its own habits, and recordings of 20 windows that differ."""
    random = np.random.default_rng([7, seed])
    habits, recordings = random.normal(0, 0.7, 4), random.normal(0, 0.5, (windows // 20, 4))
    return (habits + np.repeat(recordings, 20, axis=0) + random.normal(0, 1, (windows, 4)) + moved).astype(np.float32)


def reference(seeds: Iterable[int], *, regime_moved: float | None = None, placements: bool = False) -> Reference:
    parts = [(f"s{seed}", person(seed), 0) for seed in seeds]
    if regime_moved is not None:
        parts += [(f"s{seed}", person(seed, moved=regime_moved), 1) for seed in seeds]
    if placements:
        parts += [(f"s{seed}", person(seed, moved=6.0), 0) for seed in seeds]
    count = [len(values) for _, values, _ in parts]
    total = sum(count)
    worn = np.full(total, "left", "<U5")
    worn[sum(count[: len(list(seeds))]) :] = "right"
    windows = Seen(
        features=np.concatenate([values for _, values, _ in parts]),
        subjects=np.repeat([name for name, _, _ in parts], count),
        recordings=np.arange(total) // 20,
        regimes=np.repeat([regime for _, _, regime in parts], count),
        confidence=np.linspace(0.6, 1.0, total),
        activities=np.where(np.arange(total) % 4 < 2, "walk", "sit"),
        placements=worn if placements else None,
    )
    return make_reference(windows, NAMES, classes=("walk", "sit", "run"))


def seen(
    subject: str,
    values: NDArray[np.float32],
    *,
    placement: str = "",
    device: str = "",
    answers: dict[str, int] | None = None,
    names: tuple[str, ...] = NAMES,
) -> SubjectDay:
    confidence = np.linspace(0.6, 1.0, len(values), dtype=np.float32)
    counts = answers or {"walk": len(values) // 2, "sit": len(values) - len(values) // 2}
    return SubjectDay(
        subject, placement, device, False, Profile.of(values, names, confidence=confidence, activities=counts)
    )


@cache
def eight() -> Reference:
    return reference(range(8))


def watch(
    days: list[SubjectDay], history: Iterable[DayReport] = (), *, date: dt.date = DAY, **changes: object
) -> DayReport:
    settings = SETTINGS.model_copy(update=changes)
    return watch_day(date, 1, eight(), days, list(history), settings)


def good(number: int = 3) -> list[SubjectDay]:
    return [seen(f"n{seed}", person(100 + seed)) for seed in range(number)]


def drifted(number: int = 3, moved: float = 6.0) -> list[SubjectDay]:
    return [seen(f"n{seed}", person(100 + seed, moved=moved)) for seed in range(number)]


def test_days_without_drift_rarely_alarm_and_drifted_ones_do() -> None:
    alarms, powers, groups = [], [], []
    for draw in range(2):
        known = reference(range(1000 * draw, 1000 * draw + 8))
        new = [person(1000 * draw + 500 + number) for number in range(18)]
        for first in range(0, 18, 3):
            days = [seen(f"n{number}", new[number]) for number in range(first, first + 3)]
            report = watch_day(DAY, 1, known, days, [], SETTINGS)
            groups.append(report.alarmed)
            alarms += [one.score >= 1 for one in report.slices if one.by == "subject"]
            moved = [replace(day, profile=seen("", new[number] + 6).profile) for number, day in enumerate(days, first)]
            powers.append(watch_day(DAY, 1, known, moved, [], SETTINGS).alarmed)
    assert len(alarms) == 36
    assert np.sum(alarms) <= 2
    assert np.sum(groups) <= 1
    assert np.mean(powers) == 1.0


def test_a_stricter_rate_raises_every_score_level() -> None:
    scores = [watch(good(), false_alarms=rate).score for rate in (0.001, 0.01, 0.1)]
    assert scores == sorted(scores)
    assert scores[0] < scores[2]


def test_the_score_grows_with_the_shift() -> None:
    scores = [watch(drifted(moved=by)).score for by in (0.0, 1.0, 2.0, 4.0)]
    assert scores == sorted(scores)


def test_drift_is_confirmed_by_two_days_of_three_and_dated_from_the_first() -> None:
    history: list[DayReport] = []
    plan = [good(), drifted(), good(), drifted(), good(), good(), good()]
    for number, days in enumerate(plan):
        history.append(watch(days, history, date=DAY + dt.timedelta(days=number)))
    assert [one.alarmed for one in history] == [False, True, False, True, False, False, False]
    assert [one.confirmed for one in history] == [False, False, False, True, False, False, False]
    assert history[3].since == DAY + dt.timedelta(days=1)
    assert history[3].verdict.startswith("Drift, confirmed since 2024-03-02.")


def test_since_stays_the_first_day_while_drift_lasts() -> None:
    history: list[DayReport] = []
    for number in range(6):
        history.append(watch(drifted(), history, date=DAY + dt.timedelta(days=number)))
    assert {one.since for one in history[1:]} == {DAY}


def test_an_empty_day_neither_confirms_nor_clears() -> None:
    first = watch(drifted())
    empty = watch([], [first], date=DAY + dt.timedelta(days=1))
    assert (empty.judged, empty.alarmed, empty.confirmed, empty.score) == (False, False, False, 0.0)
    assert "Not judged" in empty.verdict
    second = watch(drifted(), [first, empty], date=DAY + dt.timedelta(days=9))
    assert second.confirmed
    assert second.since == DAY
    after = watch([], [first, empty, second], date=DAY + dt.timedelta(days=10))
    assert after.confirmed
    assert after.since == DAY
    assert DayReport.from_json(after.to_json(), where="") == after


def test_reports_of_another_version_or_a_later_day_do_not_count() -> None:
    other = replace(watch(drifted()), model_version=7)
    later = watch(drifted(), date=DAY + dt.timedelta(days=5))
    assert not watch(drifted(), [other, later], date=DAY + dt.timedelta(days=1)).confirmed


def test_too_few_subjects_or_windows_are_not_judged() -> None:
    assert not watch(drifted(1)).judged
    short = [seen(f"n{seed}", person(seed, 20, moved=6.0)) for seed in range(3)]
    report = watch(short)
    assert (report.judged, report.subjects) == (False, 0)
    assert watch(drifted(1), min_subjects=1).alarmed


def test_one_subject_that_stands_out_is_named_and_is_no_alarm_among_many() -> None:
    days = [*(seen(f"n{seed}", person(seed)) for seed in range(8)), seen("odd", person(400, moved=8.0))]
    report = watch(days)
    subjects = {one.name: one.alarmed for one in report.slices if one.by == "subject"}
    assert subjects.pop("odd")
    assert not any(subjects.values())
    assert not report.alarmed
    assert "1 of 9 subjects stands out" in report.verdict


def test_one_device_is_named() -> None:
    days = [seen(f"n{seed}", person(100 + seed), device="old") for seed in range(6)]
    days += [seen(f"m{seed}", person(200 + seed, moved=8.0), device="new") for seed in range(5)]
    report = watch(days)
    assert report.alarmed
    assert "One device, new" in report.diagnosis
    assert {one.name for one in report.slices if one.by == "device" and one.alarmed} == {"new"}


def test_a_distribution_the_model_was_trained_on_is_no_drift() -> None:
    knows = reference(range(8), regime_moved=6.0)
    assert watch_day(DAY, 1, eight(), drifted(), [], SETTINGS).alarmed
    assert not watch_day(DAY, 1, knows, drifted(), [], SETTINGS).alarmed
    assert not watch_day(DAY, 1, knows, good(), [], SETTINGS).alarmed
    assert not watch_day(DAY, 1, knows, [*good(2), *drifted()[2:]], [], SETTINGS).alarmed
    assert watch_day(DAY, 1, knows, drifted(moved=-6.0), [], SETTINGS).alarmed


def test_a_regime_of_one_subject_borrows_how_much_subjects_differ() -> None:
    values = np.concatenate([*(person(seed) for seed in range(8)), person(0, moved=6.0)])
    windows = Seen(
        features=values,
        subjects=np.repeat([*(f"s{seed}" for seed in range(8)), "s0"], 200),
        recordings=np.arange(len(values)) // 20,
        regimes=np.repeat([0] * 8 + [1], 200),
        confidence=np.linspace(0.6, 1.0, len(values)),
        activities=np.where(np.arange(len(values)) % 2 == 0, "walk", "sit"),
    )
    made = make_reference(windows, NAMES)
    assert [one.regime for one in made.strata] == [0, 1]
    days = [seen(f"n{seed}", person(seed, moved=6.0)) for seed in range(3)]
    assert watch_day(DAY, 1, made, days, [], SETTINGS).score < watch_day(DAY, 1, eight(), days, [], SETTINGS).score / 2


def test_a_day_from_one_placement_is_compared_with_this_placement() -> None:
    both = reference(range(8), placements=True)
    assert {one.placement for one in both.strata} == {"", "left", "right"}
    left = [seen(f"n{seed}", person(100 + seed), placement="left") for seed in range(3)]
    right = [seen(f"n{seed}", person(100 + seed, moved=6.0), placement="right") for seed in range(3)]
    mistaken = [replace(day, placement="right") for day in left]
    assert not watch_day(DAY, 1, both, left, [], SETTINGS).alarmed
    assert not watch_day(DAY, 1, both, [*left, *right], [], SETTINGS).alarmed
    assert watch_day(DAY, 1, both, mistaken, [], SETTINGS).alarmed


def test_only_the_answers_moved() -> None:
    days = [seen(f"n{seed}", person(100 + seed), answers={"run": 200}) for seed in range(4)]
    report = watch(days)
    assert report.alarmed
    assert "only the model's answers moved" in report.diagnosis
    assert report.features[0].kind == "activity"


def test_less_confidence_is_scored_but_no_alarm() -> None:
    days = [
        replace(
            day,
            profile=Profile.of(
                person(100 + number),
                NAMES,
                confidence=np.full(200, 0.3, np.float32),
                activities={"walk": 100, "sit": 100},
            ),
        )
        for number, day in enumerate(good(4))
    ]
    report = watch(days)
    assert next(one for one in report.features if one.name == "confidence").score > 1
    assert not report.alarmed


def test_a_profile_of_another_model_is_refused() -> None:
    strange = seen("n0", person(1), names=("other.mean", *NAMES[1:]))
    with pytest.raises(MonitoringError, match=r"a_x\.mean"):
        watch([strange, *good(2)])
    with pytest.raises(MonitoringError, match="'swim'"):
        watch([seen("n0", person(1), answers={"swim": 200}), *good(2)])


def test_distributions_are_shares_of_all_windows() -> None:
    report = watch(drifted())
    assert len(report.distributions) == 5
    for one in report.distributions:
        assert len(one.edges) == len(one.day) + 1 == len(one.reference) + 1
        assert sum(one.day) == pytest.approx(1)
        assert sum(one.reference) == pytest.approx(1)
        assert list(one.edges) == sorted(one.edges)
    assert [one.score for one in report.features] == sorted((one.score for one in report.features), reverse=True)
    worst = next(one for one in report.features if one.name == "a_x.mean")
    assert worst.shift == pytest.approx(6 / eight().deviation[0], rel=0.35)


def test_a_reference_is_read_as_it_was_written() -> None:
    text = eight().to_json()
    again = Reference.from_json(text, where="")
    assert again.to_json() == text
    days = drifted()
    assert watch_day(DAY, 1, again, days, [], SETTINGS) == watch_day(DAY, 1, eight(), days, [], SETTINGS)


def test_scores_are_equal_from_run_to_run_on_the_same_profiles() -> None:
    # Four placements of more windows than a sketch holds: merging them would thin them by chance.
    parts = [(seed, place, person(100 + 10 * seed + place, 700)) for seed in range(3) for place in range(4)]
    days = [seen(f"n{seed}", values, placement=f"p{place}") for seed, place, values in parts]
    stored = [replace(day, profile=Profile.from_bytes(day.profile.to_bytes(), where="")) for day in days]
    reports = [watch(days), watch(days), watch(stored), watch([replace(day) for day in days])]
    assert [one.to_json() for one in reports[1:]] == [reports[0].to_json()] * 3


def test_several_profiles_of_a_subject_count_by_their_windows() -> None:
    whole = person(100, 220)
    parts = [whole[:20], whole[20:60], whole[60:]]
    report = watch_day(DAY, 1, eight(), [seen("n0", part, placement=str(len(part))) for part in parts], [], SETTINGS)
    one = watch_day(DAY, 1, eight(), [seen("n0", whole)], [], SETTINGS)
    assert report.windows == one.windows == 220
    for name in NAMES:
        values, expected = (next(row for row in day.features if row.name == name).values for day in (report, one))
        assert values == pytest.approx(expected, abs=1e-9)


def test_a_reference_of_the_format_before_is_read(tmp_path: Path) -> None:
    values = json.loads(eight().to_json())
    for stratum in values["strata"]:
        (stratum["level"],) = stratum.pop("levels").values()
    values["format"] = 2
    (tmp_path / "reference.json").write_text(json.dumps(values))
    again = Reference.read(tmp_path / "reference.json")
    assert again.to_json() == eight().to_json()
    values["format"] = 1
    with pytest.raises(MonitoringError, match=r"format 1(.|\n)*har train"):
        Reference.from_json(json.dumps(values), where="reference.json")


def test_a_report_from_before_scores_could_be_added_is_read() -> None:
    report = watch(drifted())
    values = json.loads(report.to_json())
    del values["scores"]
    for row in values["features"]:
        figures = row.pop("values")
        row |= {name: figures[name] for name in ("hellinger", "psi")}
    earlier = DayReport.from_json(json.dumps(values), where="")
    assert [one.title for one in earlier.scores] == ["Hellinger", "PSI"]
    assert [set(row.values) for row in earlier.features] == [{"hellinger", "psi"}] * len(report.features)
    assert earlier.features[0].values["psi"] == report.features[0].values["psi"]
    assert (earlier.date, earlier.slices, earlier.distributions) == (report.date, report.slices, report.distributions)
    with pytest.raises(MonitoringError, match="har monitor --date"):
        DayReport.from_json('{"date": "2024-03-01"}', where="lake/drift")


@pytest.mark.parametrize("damage", ["format", "strata", "edges"])
def test_a_damaged_reference_is_refused(damage: str) -> None:
    values = json.loads(eight().to_json())
    del values[damage]
    with pytest.raises(MonitoringError, match=r"reference\.json"):
        Reference.from_json(json.dumps(values), where="reference.json")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"subjects": np.full(40, "one")}, "two subjects"),
        ({"confidence": np.ones(7)}, r"confidence \(7,\)"),
        ({"features": np.full((40, 4), np.nan, np.float32)}, "40 windows"),
    ],
)
def test_windows_that_make_no_reference_are_refused(change: dict[str, object], told: str) -> None:
    arguments: dict[str, object] = {
        "features": np.zeros((40, 4), np.float32),
        "subjects": np.repeat(["a", "b"], 20),
        "recordings": np.arange(40) // 10,
        "regimes": np.zeros(40, int),
        "confidence": np.ones(40),
        "activities": np.full(40, "walk"),
    } | change
    with pytest.raises(MonitoringError, match=told):
        make_reference(Seen(**arguments), NAMES)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Real:
    """The sample's left wrists, described: rows by subject, and the names."""

    names: tuple[str, ...]
    subjects: NDArray[np.str_]
    recordings: NDArray[np.int64]
    samples: tuple[NDArray[np.float64], ...]

    def features(self, fault: object = None) -> NDArray[np.float32]:
        import torch

        from har.training._descriptors import Descriptors

        with torch.inference_mode():
            windows = np.concatenate([_windows(one if fault is None else fault(one)) for one in self.samples])  # type: ignore[operator]
            found = Descriptors(_signal())(torch.from_numpy(windows)).numpy()
        return found[:, [Descriptors(_signal()).names.index(name) for name in self.names]]


def _signal() -> object:
    from har.training import Signal

    channels = tuple(f"{sensor}_{axis}" for sensor in ("accel", "gyro") for axis in "xyz")
    return Signal(channels, ("m/s^2",) * 3 + ("rad/s",) * 3, 50.0, 200, ("A", "B"), ((0, 1, 2), (3, 4, 5)))


def _windows(samples: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.stack([samples[first : first + 200] for first in range(0, len(samples) - 199, 100)]).astype(np.float32)


@cache
def real() -> Real:
    from har.training._descriptors import Descriptors

    left = [one for one in sample_recordings() if one.wrist == "left"]
    samples = tuple(np.column_stack([one.accel_g * STANDARD_GRAVITY, one.gyro_rad_s]) for one in left)
    count = [len(_windows(one)) for one in samples]
    names = tuple(
        name
        for name in Descriptors(_signal()).names
        if name.endswith((".mean", ".log_var", ".log_jerk", ".corr")) or "_norm.band" in name
    )
    return Real(names, np.repeat([one.subject for one in left], count), np.repeat(np.arange(len(left)), count), samples)


@cache
def real_reference() -> Reference:
    data = real()
    rows = ~np.isin(data.subjects, ("s05", "s07", "s08"))
    windows = Seen(
        features=data.features()[rows],
        subjects=data.subjects[rows],
        recordings=data.recordings[rows],
        regimes=np.zeros(int(rows.sum()), int),
        confidence=np.ones(int(rows.sum())),
        activities=np.full(int(rows.sum()), "A"),
    )
    return make_reference(windows, data.names)


def _stuck(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([samples[:, 0], np.full(len(samples), samples[0, 1]), samples[:, 2:]])


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (None, ""),
        (lambda samples: samples * [-1, -1, 1, -1, -1, 1], "the orientation of the sensor"),
        (_stuck, "one axis stands still, accel_y"),
        (lambda samples: samples * [1.25, 1.25, 1.25, 1, 1, 1], "the gain of accel (or an offset), which reads larger"),
        (lambda samples: samples + np.eye(6)[1] * 0.8 * STANDARD_GRAVITY, "the gain of accel (or an offset)"),
    ],
)
def test_real_recordings_with_a_physical_fault_are_diagnosed(fault: object, told: str) -> None:
    data = real()
    features = data.features(fault)
    days = []
    for subject in ("s05", "s07", "s08"):
        values = features[data.subjects == subject]
        profile = Profile.of(
            values, data.names, confidence=np.ones(len(values), np.float32), activities={"A": len(values)}
        )
        days.append(SubjectDay(subject, "left", "", False, profile))
    report = watch_day(DAY, 1, real_reference(), days, [], SETTINGS)
    assert report.alarmed == bool(told)
    assert told in report.diagnosis
    if told:
        assert report.diagnosis.startswith("Everyone: ")


def test_against_their_own_days_a_gain_is_named_with_its_size() -> None:
    data, known = real(), real_reference()
    people = ("s05", "s07", "s08")

    def day(features: NDArray[np.float32], rows: NDArray[np.bool_], who: str) -> SubjectDay:
        values = features[rows & (data.subjects == who)]
        answers = np.zeros(len(values), int)
        profile = Profile.of(
            values, data.names, confidence=np.ones(len(values), np.float32), activities={"A": len(values)}
        )
        return SubjectDay(who, "left", "", False, profile, known.bins.count(values, answers, ("A",)))

    # Every recording is there once: its even windows are the own history, its odd ones the day.
    even = np.arange(len(data.subjects)) % 2 == 0
    own = []
    for who in people:
        counted = day(data.features(), even, who).by_activity
        assert counted is not None
        own += [OwnDay(who, DAY - dt.timedelta(days=past), "left", "", counted) for past in range(1, 6)]
    for percent, told in (
        (0, ""),
        (12, "against their own history of 5 quiet days: the gain of accel (or an offset), +1"),
    ):
        features = data.features(lambda samples, by=1 + percent / 100: samples * ([by] * 3 + [1] * 3))
        days = [day(features, ~even, who) for who in people]
        alone = watch_day(DAY, 1, known, days, [], SETTINGS)
        report = watch_day(DAY, 1, known, days, [], SETTINGS, own=own)
        assert not alone.alarmed
        assert report.alarmed == bool(told)
        assert told in report.verdict
        assert "%" in report.diagnosis or not told
