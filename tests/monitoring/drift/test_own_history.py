"""A day against the subject's own quiet days: what it sees, what it does not mistake for drift, and what it learns."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from har.lake import Lake
from har.monitoring.drift import DayReport, OwnDay, OwnHistory, Reference, Seen, make_reference, watch_day
from har.monitoring.profiles import Profile, QualityAlarm, SubjectDay
from har.settings import Drift

NAMES = ("a_x.mean", "a_y.mean", "a_norm.mean", "a_x.log_var")
ACTIVITIES = ("sit", "walk")
FIRST = dt.date(2024, 3, 1)
SETTINGS = Drift()
WHO = ("n1", "n2", "n5", "n7")


def windows(
    who: int, day: int, *, moved: float = 0.0, walking: float = 0.5, varies: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """200 windows of a made-up person's day and their activities; people differ much more than a person's days do."""
    random = np.random.default_rng([11, who, day])
    habits = np.random.default_rng([7, who]).normal(0, 1.0, 4)
    answers = (random.permutation(200) < 200 * walking).astype(np.int64)
    recordings = np.repeat(random.normal(0, 0.2, (10, 4)), 20, axis=0)
    values = 20 + habits + recordings + random.normal(0, 1, (200, 4)) + 3.0 * answers[:, None]
    return (values + moved + random.normal(0, varies)).astype(np.float32), answers


@cache
def known(days: int = 1) -> Reference:
    """Ten people, recorded on one day, or on several."""
    parts = [(who, day, *windows(who, day)) for who in range(10) for day in range(days)]
    answers = np.concatenate([answers for *_, answers in parts])
    dates = np.repeat([np.datetime64("2024-01-01") + day for _, day, *_ in parts], 200)
    return make_reference(
        Seen(
            features=np.concatenate([values for _, _, values, _ in parts]),
            confidence=np.ones(len(answers)),
            activities=np.array(ACTIVITIES)[answers],
            subjects=np.repeat([f"s{who}" for who, *_ in parts], 200),
            recordings=np.arange(len(answers)) // 20,
            regimes=np.zeros(len(answers), int),
            dates=dates,
        ),
        NAMES,
    )


def seen(who: str, day: int, *, device: str = "old", placement: str = "", **changes: float) -> SubjectDay:
    values, answers = windows(100 + int(who[1:]), 50 + day, **changes)
    profile = Profile.of(
        values,
        NAMES,
        confidence=np.ones(200, np.float32),
        activities={name: int((answers == place).sum()) for place, name in enumerate(ACTIVITIES)},
    )
    return SubjectDay(who, placement, device, False, profile, known().bins.count(values, answers, ACTIVITIES))


def today(day: int, people: Iterable[str] = WHO, **changes: float) -> list[SubjectDay]:
    return [seen(who, day, **changes) for who in people]


def history(days: int = 5, people: Iterable[str] = WHO, **changes: float) -> list[OwnDay]:
    found = []
    for day in range(-days, 0):
        for one in today(day, people, **changes):
            assert one.by_activity is not None
            date = FIRST + dt.timedelta(days=day)
            found.append(OwnDay(one.subject, date, one.placement, one.device, one.by_activity))
    return found


def watch(
    days: Sequence[SubjectDay], own: Sequence[OwnDay] = (), before: Sequence[DayReport] = (), day: int = 0
) -> DayReport:
    date = FIRST + dt.timedelta(days=day)
    return watch_day(date, 1, known(), days, before, SETTINGS, own=own)


def test_a_small_shift_that_peoples_differences_hide_is_seen_against_their_own_days() -> None:
    own = history()
    moved = today(0, moved=0.8)
    alone = watch(moved)
    assert not alone.alarmed
    assert (alone.own_subjects, alone.slices[0].own) == (0, None)
    report = watch(moved, own)
    assert report.alarmed
    assert (report.own_subjects, report.slices[0].own_days) == (4, 5)
    assert report.slices[0].alarmed_by_own
    assert report.diagnosis.startswith("Everyone, against their own history of 5 quiet days: the gain of a")
    worst = report.features[0]
    assert worst.own == worst.score
    assert worst.own_shift is not None
    assert worst.own_shift * known().deviation[NAMES.index(worst.name)] == pytest.approx(0.8, abs=0.25)
    assert DayReport.from_json(report.to_json(), where="") == report


def test_quiet_days_rarely_alarm_with_an_own_history() -> None:
    own = history()
    reports = [watch(today(day), own, day=day) for day in range(12)]
    scores = [one.score for report in reports for one in report.slices if one.by == "subject"]
    assert sum(report.alarmed for report in reports) <= 1
    assert sum(score >= 1 for score in scores) <= 2
    assert all(
        "4 of them compared with their own history" in report.verdict for report in reports if not report.alarmed
    )


def test_another_mix_of_activities_is_no_drift_of_the_subject() -> None:
    own = history(walking=0.2)
    report = watch(today(0, walking=0.8), own)
    of_own = [one.own for one in report.slices if one.by == "subject" and one.own is not None]
    assert len(of_own) == 4
    assert max(of_own) < 1
    # What changed within the activities is seen all the same.
    both = watch(today(0, walking=0.8, moved=0.8), own)
    assert both.slices[0].own is not None
    assert both.slices[0].own > 1 > max(of_own)


def test_a_day_of_activities_that_the_history_does_not_know_is_compared_with_others() -> None:
    report = watch(today(0, walking=1.0), history(walking=0.0))
    assert report.own_subjects == 0
    assert {one.own for one in report.slices} == {None}


def test_a_history_whose_own_days_differ_more_raises_its_level() -> None:
    # The reference's subjects were recorded on one day each: it does not know how much days differ.
    restless = history(varies=1.0)
    calm = history()
    scores = {}
    for name, own in (("restless", restless), ("calm", calm)):
        reports = [watch(today(day, varies=1.0), own, day=day) for day in range(4)]
        scores[name] = [one.own for report in reports for one in report.slices if one.by == "subject"]
    assert np.mean([score >= 1 for score in scores["calm"] if score is not None]) > 0.3
    assert np.mean([score >= 1 for score in scores["restless"] if score is not None]) < 0.1


def test_recordings_of_several_days_show_how_much_days_differ() -> None:
    one, several = known().own["displacement"], known(3).own["displacement"]
    assert one.subjects == several.subjects == 10
    assert not np.allclose(one.mean, several.mean)


def test_another_device_or_placement_has_a_history_of_its_own() -> None:
    own = history()
    for changes in ({"device": "new"}, {"placement": "ankle"}):
        days = [seen(who, 0, **changes) for who in WHO]  # type: ignore[arg-type]
        assert watch(days, own).own_subjects == 0
    half = [*today(0, WHO[:2]), *(seen(who, 0, device="new") for who in WHO[2:])]
    report = watch(half, own)
    assert report.own_subjects == 2
    assert {one.name: one.own is None for one in report.slices if one.by == "device"} == {"old": False, "new": True}
    fewer = watch([*today(0, WHO[:1]), *(seen(who, 0, device="new") for who in WHO[1:])], own)
    assert fewer.slices[0].own is None  # everyone together: most have none


@pytest.mark.parametrize("without", ["days", "windows", "bins", "levels", "setting"])
def test_without_enough_history_days_are_compared_with_others_only(without: str) -> None:
    own, days, reference, settings = history(), today(0, moved=0.8), known(), SETTINGS
    if without == "days":
        own = [one for one in own if one.day > FIRST - dt.timedelta(days=5)]
    elif without == "windows":
        settings = settings.model_copy(update={"own_history_windows": 5 * 200 + 1})
    elif without == "bins":  # profiles of an older release
        days = [replace(one, by_activity=None) for one in days]
    elif without == "levels":  # a reference of an older release
        values = json.loads(reference.to_json())
        del values["own"]
        reference = Reference.from_json(json.dumps({**values, "format": 3}), where="")
    else:
        settings = settings.model_copy(update={"own_history_days": 0})
    report = watch_day(FIRST, 1, reference, days, [], settings, own=own)
    assert report == watch_day(FIRST, 1, reference, days, [], settings)
    assert report.own_subjects == 0


def test_history_of_other_bins_or_later_days_does_not_count() -> None:
    own = history()
    assert (
        watch(today(0), [replace(one, by_activity=replace(one.by_activity, edges_id="")) for one in own]).own_subjects
        == 0
    )
    assert watch(today(-3), own, day=-3).own_subjects == 0


def pass_days(lake: Lake, plan: Sequence[list[SubjectDay]], *, version: int = 1) -> list[DayReport]:
    """Judge and learn day after day, as monitoring does."""
    reports: list[DayReport] = []
    table = OwnHistory(lake)
    for number, days in enumerate(plan):
        own = table.of({one.subject for one in days}, version)
        report = watch_day(FIRST + dt.timedelta(days=number), version, known(), days, reports, SETTINGS, own=own)
        table.learn(report, days, own, SETTINGS)
        reports.append(report)
    return reports


def learned(lake: Lake, *people: str, version: int = 1) -> list[int]:
    """The days of these subjects' histories, counted from the first."""
    return sorted({(one.day - FIRST).days for one in OwnHistory(lake).of(people, version)})


def test_the_first_quiet_days_are_the_history_and_nothing_is_written_after_them(lake: Lake) -> None:
    reports = pass_days(lake, [today(day) for day in range(8)])
    assert [report.own_subjects for report in reports] == [0] * 5 + [4] * 3
    assert not any(report.alarmed for report in reports)
    assert learned(lake, *WHO) == [0, 1, 2, 3, 4]
    assert len(lake.own_history.partitions()) == len(WHO)
    version = lake.own_history.version()
    table = OwnHistory(lake)
    for number in (2, 7):  # days that are judged again
        days = today(number)
        own = table.of(WHO, 1)
        again = watch(days, own, reports[:number], day=number)
        assert again == reports[number]
        table.learn(again, days, own, SETTINGS)
    assert lake.own_history.version() == version


def test_a_slow_drift_is_not_learned_and_is_found(lake: Lake) -> None:
    quiet = [today(day) for day in range(5)]
    slow = [today(5 + day, moved=0.1 * (day + 1)) for day in range(15)]
    reports = pass_days(lake, [*quiet, *slow])
    assert learned(lake, *WHO) == [0, 1, 2, 3, 4]
    confirmed = [number for number, report in enumerate(reports) if report.confirmed]
    assert confirmed
    # A shift of 0.1 a day: others see it when it is as large as people differ.
    assert confirmed[0] < 5 + 12
    assert not any(report.alarmed for report in [watch(days) for days in slow[: confirmed[0] - 4]])
    # Nor is a drift that was there from the first day, while the history was still made.
    assert any(report.confirmed for report in pass_days(Lake(lake.folder / "other", lake.channels), slow))


def test_days_since_a_confirmed_drift_began_are_in_no_history(lake: Lake) -> None:
    far = [today(day, moved=9.0) for day in (1, 3)]
    reports = pass_days(lake, [today(0), far[0], today(2), far[1], today(4)])
    assert [report.alarmed for report in reports] == [False, True, False, True, False]
    assert [report.confirmed for report in reports] == [False, False, False, True, False]
    # The quiet day between two alarms had been added, and is taken out.
    assert learned(lake, *WHO) == [0, 4]


def test_a_subject_that_stands_out_or_has_a_faulty_sensor_learns_nothing(lake: Lake) -> None:
    days = [*today(0, WHO[:3]), seen("n4", 0)]
    report = watch(days)
    assert not report.alarmed
    faulty = replace(report, quality=(QualityAlarm("stuck", "n5", 1.0, 0.2, "n5: stuck."),))
    OwnHistory(lake).learn(faulty, days, [], SETTINGS)
    assert {one.subject for one in OwnHistory(lake).of([*WHO, "n4"], 1)} == {"n1", "n2"}
    # A day that turns out to be no quiet one, because more data came, is taken out.
    own = OwnHistory(lake).of(WHO, 1)
    OwnHistory(lake).learn(replace(report, alarmed=True), days, own, SETTINGS)
    assert OwnHistory(lake).of(WHO, 1) == []


def test_a_new_model_version_starts_new_histories(lake: Lake) -> None:
    pass_days(lake, [today(day) for day in range(6)])
    reports = pass_days(lake, [today(day) for day in range(10, 16)], version=2)
    assert [report.own_subjects for report in reports] == [0] * 5 + [4]
    assert learned(lake, *WHO, version=2) == [0, 1, 2, 3, 4]
    assert learned(lake, *WHO) == []
    assert len(lake.own_history.partitions()) == len(WHO)
