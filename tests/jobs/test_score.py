"""Scoring and experiments on one small lake: what is pending, what is written, and that a recipe repeats itself."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from inbox_support import inbox_chunks
from tests_support import HAR_TOML, run_and_kill, run_until_commit, write_recording

from har import predictions
from har.challenge import challenge
from har.dataset import load_windows
from har.errors import NotEnoughDataError
from har.experiment import Champion, Experiment, Recipe, make_recipe, run
from har.inference import Classifier
from har.jobs import score as scoring
from har.jobs.ingest import ingest_files
from har.jobs.summarise import outdated, write_summary
from har.lake import Lake
from har.monitoring import Profiler, Profiles
from har.settings import Settings, load_settings

SUBJECTS = tuple(f"s{number:02d}" for number in range(1, 7))
DAYS = ("2024-01-01", "2024-01-02")


def ingest(lake: Lake, settings: Settings) -> None:
    for chunk in inbox_chunks(settings)[0]:
        ingest_files(lake, settings, chunk)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Experiment]:
    """A project with a lake of six subjects and two activities a day, and a model trained on it; treat as read-only."""
    root = tmp_path_factory.mktemp("trained")
    (root / "har.toml").write_text(HAR_TOML)
    settings = load_settings(root)
    for day, names in zip(DAYS, (("PEN", "ABD", "FEL"), ("ROW", "TRAP")), strict=True):
        for subject in SUBJECTS:
            for name in names:
                write_recording(settings.path("inbox"), day, subject, name.lower(), name, seconds=40)
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    ingest(lake, settings)
    return root, run(make_recipe(settings, lake), root / "run")


@pytest.fixture
def scored(trained: tuple[Path, Experiment], tmp_path: Path) -> tuple[Lake, Settings, Classifier]:
    """A copy of that project that a test may change, and its model."""
    root = tmp_path / "copy"
    shutil.copytree(trained[0], root)
    settings = load_settings(root)
    return Lake(root / "lake", settings.sensors.channels), settings, Classifier(root / "run" / "model.onnx", threads=1)


def score(lake: Lake, settings: Settings, classifier: Classifier, version: int = 1, **options: bool) -> int:
    chunks = scoring.chunks_to_score(lake, scoring.pending(lake, version, **options), limit=20_000)
    observer = Profiler(lake, settings, classifier.metadata.feature_names, version)
    done = [scoring.score_chunk(lake, settings, classifier, version, chunk, observer=observer) for chunk in chunks]
    return sum(report.windows for report in done)


def rows(lake: Lake) -> pl.DataFrame:
    return lake.predictions.read().sort("date", "subject", "session", "start")


def test_predictions_are_the_models_own(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    assert score(lake, settings, classifier) == len(rows(lake))
    windows = load_windows(lake, settings)
    probabilities = classifier.predict(windows.batch()).probabilities
    predictions = rows(lake)
    assert len(predictions) == len(windows)
    names = np.asarray(settings.activities.all)
    order = lake.samples.read().sort("date", "subject", "session", "time")[windows.starts]
    assert predictions["start"].to_list() == order["time"].to_list()
    assert predictions["activity"].to_list() == names[probabilities.argmax(axis=1)].tolist()
    np.testing.assert_allclose(predictions["confidence"], probabilities.max(axis=1), atol=1e-5)
    assert ((predictions["end"] - predictions["start"]) == dt.timedelta(seconds=4)).all()
    assert predictions["abstained"].to_list() == (predictions["confidence"] < 0.5).to_list()


def test_the_model_is_profiled_where_it_scored(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    score(lake, settings, classifier)
    date = dt.date.fromisoformat(DAYS[0])
    days = Profiles(lake).of_day(date)
    assert [day.subject for day in days] == list(SUBJECTS)
    windows = load_windows(lake, settings)
    chosen = np.flatnonzero((windows.subjects == "s03") & (windows.dates == np.datetime64(date)))
    answer = classifier.predict(windows.batch(chosen))
    profile = days[2].profile
    assert profile.windows == len(chosen)
    names = classifier.metadata.feature_names
    for name in ("accel_x.mean", "gyro_z.log_var"):
        column = answer.features[:, names.index(name)].astype(np.float64)
        assert profile.mean(name) == pytest.approx(column.mean(), rel=1e-3)
        assert profile.quantiles(name, [0, 1]) == pytest.approx([column.min(), column.max()], rel=1e-3)
    assert profile.mean("confidence") == pytest.approx(float(answer.probabilities.max(axis=1).mean()), rel=1e-4)
    assert profile.count("quality.coverage") == 3
    answers = np.asarray(settings.activities.all)[answer.probabilities.argmax(axis=1)]
    assert profile.activities == {name: int((answers == name).sum()) for name in set(answers)}


def test_scoring_again_by_another_model_profiles_again(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    score(lake, settings, classifier)
    before = lake.profiles.read().sort("date", "subject")
    score(lake, settings, classifier, version=2, rescore=True)
    after = lake.profiles.read().sort("date", "subject")
    assert after["model_version"].unique().to_list() == [2]
    assert after["profile"].equals(before["profile"])
    assert scoring.pending(lake, 2, rescore=True, profiled=Profiles(lake).done(2, 90)) == {}
    # A lake that was scored before there were profiles gets them on request.
    shutil.rmtree(lake.profiles.path)
    assert scoring.pending(lake, 2, profiled=Profiles(lake).done(2, 90)) == {}
    assert len(scoring.pending(lake, 2, rescore=True, profiled=Profiles(lake).done(2, 90))) == len(before)


def test_without_monitoring_nothing_is_profiled(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    for chunk in scoring.chunks_to_score(lake, scoring.pending(lake, 1)):
        scoring.score_chunk(lake, settings, classifier, 1, chunk)
    assert len(rows(lake)) > 0
    assert lake.profiles.version() == -1
    assert "features" not in lake.predictions.read().columns


@pytest.mark.parametrize("moment", ["chunks_to_score", "replace"])
def test_what_is_ingested_during_scoring_is_scored_by_the_next_run(
    scored: tuple[Lake, Settings, Classifier], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A late file lands after the partitions were chosen: before their samples are read, or before they are written."""
    lake, settings, classifier = scored
    owner = scoring if moment == "chunks_to_score" else lake.predictions
    real = getattr(owner, moment)

    def late(*arguments: Any, **options: Any) -> Any:
        monkeypatch.undo()
        write_recording(
            settings.path("inbox"), DAYS[0], "s01", "late", "ROW", seconds=40, seed=5, at=dt.time(23, 59, 45)
        )
        ingest(lake, settings)
        return real(*arguments, **options)

    monkeypatch.setattr(owner, moment, late)
    score(lake, settings, classifier)
    assert set(scoring.pending(lake, 1)) == {(dt.date.fromisoformat(day), "s01") for day in DAYS}
    score(lake, settings, classifier)
    assert scoring.pending(lake, 1) == {}
    assert len(rows(lake)) == len(load_windows(lake, settings))
    assert {"late", "late-2024-01-01"} < set(rows(lake)["session"])


def test_what_is_scored_is_not_pending(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    assert list(scoring.pending(lake, 1, date=dt.date(2024, 1, 2))) == [(dt.date(2024, 1, 2), s) for s in SUBJECTS]
    assert score(lake, settings, classifier) > 0
    assert scoring.pending(lake, 1) == {}
    assert scoring.pending(lake, 2) == {}
    assert len(scoring.pending(lake, 2, rescore=True)) == len(DAYS) * len(SUBJECTS)


def test_a_day_that_grew_is_pending_again(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    score(lake, settings, classifier)
    write_recording(settings.path("inbox"), DAYS[0], "s03", "late", "IR")
    ingest(lake, settings)
    assert list(scoring.pending(lake, 1)) == [(dt.date(2024, 1, 1), "s03")]
    score(lake, settings, classifier)
    assert "late" in rows(lake)["session"].to_list()
    assert scoring.pending(lake, 1) == {}


def test_a_recording_shorter_than_a_window_is_scored_once(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    write_recording(settings.path("inbox"), "2024-01-03", "s01", "short", "PEN", seconds=2)
    ingest(lake, settings)
    score(lake, settings, classifier)
    assert scoring.pending(lake, 1) == {}
    assert lake.scores.read(partitions=[(dt.date(2024, 1, 3), "s01")])["windows"].to_list() == [0]


def test_scrambled_rows_give_the_same_predictions(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    partition = (dt.date(2024, 1, 1), "s01")
    frame = lake.samples.read(partitions=[partition])
    straight, scrambled = (
        predictions.predict([(partition, part)], settings, classifier, 1)
        for part in (frame, frame.sample(fraction=1, shuffle=True, seed=0))
    )
    assert len(straight) > 0
    assert scrambled.equals(straight)


SCORE = """
import sys
from pathlib import Path
from har.jobs import score as scoring
from har.inference import Classifier
from har.lake import Lake
from har.monitoring import Profiler
from har.settings import load_settings
settings = load_settings(sys.argv[1])
lake = Lake(settings.path("lake"), settings.sensors.channels)
classifier = Classifier(settings.root / "run" / "model.onnx", threads=1)
observer = Profiler(lake, settings, classifier.metadata.feature_names, 1)
for chunk in scoring.chunks_to_score(lake, scoring.pending(lake, 1), limit=20_000):
    print("chunk", flush=True)
    scoring.score_chunk(lake, settings, classifier, 1, chunk, observer=observer)
"""


@pytest.mark.stack
@pytest.mark.parametrize(
    "end",
    [
        *(pytest.param(partial(run_and_kill, delay_s=delay_s), marks=pytest.mark.release) for delay_s in (0.0, 0.05)),
        *(partial(run_until_commit, commits=commits) for commits in (1, 3)),
    ],
    ids=lambda end: "-".join(f"{name}{value}" for name, value in end.keywords.items()),
)
def test_killed_at_any_moment_and_run_again(
    scored: tuple[Lake, Settings, Classifier], end: Callable[..., None]
) -> None:
    lake, settings, classifier = scored
    end(SCORE, str(settings.root))
    score(lake, settings, classifier)
    clean = Lake(settings.root / "clean", settings.sensors.channels)
    shutil.copytree(lake.samples.path, clean.samples.path)
    shutil.copytree(lake.recordings.path, clean.recordings.path)
    score(clean, settings, classifier)
    assert rows(lake).equals(rows(clean))
    columns = ["date", "subject", "model_version", "content", "samples_version", "windows"]
    tables = [part.scores.read(columns=columns).sort("date", "subject") for part in (lake, clean)]
    assert tables[0].equals(tables[1])
    kept = [part.profiles.read().drop("made_at").sort("date", "subject") for part in (lake, clean)]
    assert kept[0].equals(kept[1])
    assert kept[0]["windows"].sum() == len(rows(lake))


def test_minutes_add_up_to_the_time_covered(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    score(lake, settings, classifier)
    summary = predictions.activity_minutes(predictions.counted_once(lake.predictions.read()))
    # 40 s recordings, 4 s windows with half overlap: 19 windows cover them whole.
    per_day = summary.group_by("date", "subject").agg(pl.col("minutes").sum()).sort("date", "subject")
    expected = [3 * 40 / 60] * len(SUBJECTS) + [2 * 40 / 60] * len(SUBJECTS)
    assert per_day["minutes"].to_list() == pytest.approx(expected, abs=0.01)


def test_the_summary_page_stands_alone(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    score(lake, settings, classifier)
    page = write_summary(lake, settings, dt.date(2024, 1, 1))
    text = page.read_text()
    assert all(subject in text for subject in SUBJECTS)
    assert "src=" not in text
    assert re.findall(r'href="([^"]*)"', text) == ["../index.html"]
    table = pl.read_parquet(page.with_suffix(".parquet"))
    assert table.columns == ["date", "subject", "activity", "minutes", "windows", "unknown_minutes"]


def test_a_summary_is_written_again_only_after_its_day_was_scored_again(
    scored: tuple[Lake, Settings, Classifier],
) -> None:
    lake, settings, classifier = scored
    score(lake, settings, classifier)
    days = [dt.date.fromisoformat(day) for day in DAYS]
    assert outdated(lake, settings) == days
    for day in days:
        write_summary(lake, settings, day)
    assert outdated(lake, settings) == []
    score(lake, settings, classifier, version=2, rescore=True)
    assert outdated(lake, settings) == days


def online(lake: Lake, subject: str, seconds: list[int], *, day: int = 1, activity: str = "ROW") -> pl.DataFrame:
    """Rows of 4 s as the online service's requests leave them, from noon on."""
    starts = [dt.datetime(2024, 1, day, 12, tzinfo=dt.UTC) + dt.timedelta(seconds=second) for second in seconds]
    return pl.DataFrame(
        {
            "date": dt.date(2024, 1, day),
            "subject": subject,
            "session": "online",
            "start": starts,
            "end": [start + dt.timedelta(seconds=4) for start in starts],
            "activity": activity,
            "confidence": 0.9,
            "abstained": False,
            "model_version": 1,
            "request_id": [f"r-{subject}-{second}" for second in seconds],
            "smoothed": None,
            "unknown": None,
        },
        schema=lake.predictions.schema,
    )


def test_scoring_leaves_online_rows_in_place(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    answered = pl.concat([online(lake, "s01", [0, 2]), online(lake, "visitor", [0])])
    assert lake.predictions.add(answered, ["request_id", "start"]) == 3
    windows = score(lake, settings, classifier)
    assert score(lake, settings, classifier, version=2, rescore=True) == windows
    found = rows(lake)
    assert found.filter(pl.col("request_id").is_not_null()).equals(answered.sort("subject", "start"))
    assert found.filter(pl.col("request_id").is_null())["model_version"].to_list() == [2] * windows


def test_what_was_answered_online_is_not_counted_twice(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, classifier = scored
    score(lake, settings, classifier)
    before = predictions.activity_minutes(predictions.counted_once(lake.predictions.read()))
    lake.predictions.add(online(lake, "s01", [0, 2, 4, 8, 100]), ["request_id", "start"])
    assert predictions.activity_minutes(predictions.counted_once(lake.predictions.read())).equals(before)
    # A subject without files that day: 0 to 12 s and 100 to 104 s, however windows overlap or repeat.
    lake.predictions.add(online(lake, "visitor", [0, 2, 5, 8, 100]), ["request_id", "start"])
    page = write_summary(lake, settings, dt.date(2024, 1, 1))
    table = pl.read_parquet(page.with_suffix(".parquet"))
    assert table.filter(pl.col("subject") == "visitor").rows() == [
        (dt.date(2024, 1, 1), "visitor", "ROW", pytest.approx(16 / 60, abs=1e-3), 5, 0.0)
    ]
    assert table.filter(pl.col("subject") != "visitor").equals(before.filter(pl.col("date") == dt.date(2024, 1, 1)))


def test_online_rows_make_a_summary_outdated(scored: tuple[Lake, Settings, Classifier]) -> None:
    lake, settings, _ = scored
    assert outdated(lake, settings) == []
    lake.predictions.add(online(lake, "visitor", [0], day=9), ["request_id", "start"])
    assert outdated(lake, settings) == [dt.date(2024, 1, 9)]
    text = write_summary(lake, settings, dt.date(2024, 1, 9)).read_text()
    assert "visitor" in text
    assert outdated(lake, settings) == []
    lake.predictions.add(online(lake, "visitor", [2], day=9), ["request_id", "start"])
    assert outdated(lake, settings) == [dt.date(2024, 1, 9)]


SCORE_AND_COLLECT = """
import sys, datetime as dt
import polars as pl
from pathlib import Path
from har.lake import Lake
lake = Lake(Path(sys.argv[1]), ("accel_x",))
start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(15):
    row = {
        "date": start.date(), "subject": "s01", "session": "online", "start": start, "end": start,
        "activity": "PEN", "confidence": 1.0, "abstained": False, "model_version": turn,
    }
    if sys.argv[2] == "score":
        frame = pl.DataFrame([{**row, "request_id": None}], schema=lake.predictions.schema)
        lake.predictions.replace(frame, [(start.date(), "s01")], keep="request_id")
    else:
        frame = pl.DataFrame([{**row, "request_id": f"r{turn}"}], schema=lake.predictions.schema)
        lake.predictions.add(frame, ["request_id", "start"])
"""


def test_scoring_and_collecting_at_once_lose_no_rows(lake: Lake) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SCORE_AND_COLLECT, str(lake.folder), what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for what in ("score", "collect")
    ]
    for run_ in runs:
        assert run_.stdout.readline() == "ready\n"
    for run_ in runs:
        run_.stdin.write("go\n")
        run_.stdin.flush()
    for run_ in runs:
        run_.communicate(timeout=60)
        assert run_.returncode == 0
    found = lake.predictions.read(columns=["request_id", "model_version"]).sort("request_id", nulls_last=False)
    assert sorted(found["request_id"].drop_nulls()) == sorted(f"r{turn}" for turn in range(15))
    assert found.filter(pl.col("request_id").is_null())["model_version"].to_list() == [14]


def test_it_learns_subjects_it_never_saw(trained: tuple[Path, Experiment]) -> None:
    experiment = trained[1]
    assert experiment.metrics["accuracy"] > 0.9
    assert set(experiment.outcome.subjects) == set(experiment.recipe.split["held_out"])
    assert Classifier(experiment.model).metadata.data_version == experiment.recipe.data_version
    assert json.loads((experiment.model.parent / "metrics.json").read_text()) == experiment.metrics


@pytest.mark.stack
@pytest.mark.release
def test_the_same_recipe_gives_the_same_figures(trained: tuple[Path, Experiment], tmp_path: Path) -> None:
    experiment = trained[1]
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(experiment.recipe.to_json()))
    command = [sys.executable, "-m", "har.experiment", str(recipe), str(tmp_path / "again")]
    subprocess.run(
        command, check=True, cwd=tmp_path, capture_output=True, env={**os.environ, "HAR_TRAINING__EPOCHS": "1"}
    )
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    for name, value in experiment.metrics.items():
        if not name.startswith("latency"):
            assert again[name] == pytest.approx(value, abs=1e-6), name


def test_the_key_names_what_decides(trained: tuple[Path, Experiment]) -> None:
    recipe = trained[1].recipe
    assert replace(recipe, lake="/elsewhere").key == recipe.key
    assert replace(recipe, seed=recipe.seed + 1).key != recipe.key
    assert replace(recipe, lake_version=recipe.lake_version + 1).key != recipe.key
    gates = {**recipe.settings, "gates": {**recipe.settings["gates"], "margin": 0.5}}
    assert replace(recipe, settings=gates).key == recipe.key
    batches = {**recipe.settings, "scoring": {**recipe.settings["scoring"], "batch_size": 7}}
    assert replace(recipe, settings=batches).key == recipe.key
    unsure = {**recipe.settings, "scoring": {**recipe.settings["scoring"], "abstain_below": 0.9}}
    assert replace(recipe, settings=unsure).key != recipe.key
    epochs = {**recipe.settings, "training": {**recipe.settings["training"], "epochs": 99}}
    assert replace(recipe, settings=epochs).key != recipe.key


def test_a_challenger_meets_the_champion_on_subjects_neither_saw(trained: tuple[Path, Experiment]) -> None:
    root, experiment = trained
    settings = load_settings(root)
    model, recipe = experiment.model, experiment.recipe
    common = {"settings": settings, "metrics": {"latency_us_p50": 90.0, "latency_us_p99": 100.0}}
    first = challenge(model, recipe, champion=None, **common)
    assert first.promote
    same = challenge(model, recipe, champion=Champion(1, model, recipe), **common)
    assert same.promote
    assert same.difference == 0
    assert same.latency["against"] == "champion"
    assert same.latency["ratio"] == pytest.approx(1.0, abs=0.2)
    late = challenge(
        model, recipe, champion=None, settings=settings, metrics={"latency_us_p50": 270.0, "latency_us_p99": 7e4}
    )
    assert late.promote, "a wall-clock time over budget only warns"
    assert "70.00 ms (median 0.27 ms), over the budget of 10 ms" in late.reasons[-1]
    strict = settings.model_copy(update={"gates": settings.gates.model_copy(update={"reference_ratio": 1e-3})})
    slow = challenge(model, recipe, champion=None, settings=strict, metrics=common["metrics"])
    assert not slow.promote
    assert slow.checks == {"accuracy": True, "class_floor": True, "latency": False}
    saw_them = Recipe(
        **{**recipe.to_json(), "split": {**recipe.split, "train": recipe.split["held_out"], "held_out": []}}
    )
    with pytest.raises(NotEnoughDataError, match="a held-out subject that the champion was not trained on"):
        challenge(model, recipe, champion=Champion(1, model, saw_them), **common)


def test_an_empty_lake_says_what_to_do(lake: Lake, settings: Settings) -> None:
    with pytest.raises(NotEnoughDataError, match="har ingest"):
        make_recipe(settings, lake)


def test_unlabelled_recordings_cannot_be_trained_on(put, lake: Lake, settings: Settings) -> None:
    put("2024-01-01", "s01", "a")
    ingest(lake, settings)
    with pytest.raises(NotEnoughDataError, match="labelled windows"):
        make_recipe(settings, lake)


_WATCH = """
import datetime as dt, hashlib, random, sys
from pathlib import Path
import numpy as np
from har.dataset import load_windows, placements
from har.inference import Classifier
from har.jobs.score import Chunk, score_chunk
from har.lake import Lake
from har.monitoring import Profiler, Profiles
from har.monitoring.drift import reference_of, watch_day
from har.monitoring.profiles import quality_alarms
from har.settings import load_settings

root, order = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
settings = load_settings(root)
lake = Lake(root / "lake", settings.sensors.channels)
partitions = lake.samples.partitions()
order.shuffle(partitions)
for partition in partitions:
    rows = lake.samples.read(partitions=[partition])
    lake.samples.replace(rows.sample(fraction=1, shuffle=True, seed=order.randrange(99)), [partition])
    files = lake.recordings.read(partitions=[partition])
    lake.recordings.replace(files.sample(fraction=1, shuffle=True, seed=order.randrange(99)), [partition])
classifier = Classifier(root / "run" / "model.onnx", threads=1)
observer = Profiler(lake, settings, classifier.metadata.feature_names, 1)
half = len(partitions) // 2
for part in (partitions[:half], partitions[half:]):
    score_chunk(lake, settings, classifier, 1, Chunk(tuple(part), ("x",) * len(part), 1), observer=observer)
windows = load_windows(lake, settings)
windows = windows.select(windows.dates == np.datetime64("2024-01-01"))
worn = placements(lake, windows)
reference, profile = reference_of(classifier, windows, settings.monitoring, placements=worn, most=100)
days = Profiles(lake).of_day(dt.date(2024, 1, 2))
report = watch_day(
    dt.date(2024, 1, 2), 1, reference, days, [], settings.drift, quality=quality_alarms(days)
)
assert report.judged and report.score > 0
parts = [profile.to_bytes(), *(day.profile.to_bytes() for day in days)]
digest = hashlib.sha256(b"".join(parts)).hexdigest()
print(digest, repr(report.score), hashlib.sha256((reference.to_json() + report.to_json()).encode()).hexdigest())
"""


@pytest.mark.stack
def test_drift_is_bit_equal_whatever_the_order_of_the_data(trained: tuple[Path, Experiment], tmp_path: Path) -> None:
    found = []
    for seed in ("1", "2"):
        shutil.copytree(trained[0], tmp_path / seed)
        done = subprocess.run(
            [sys.executable, "-c", _WATCH, str(tmp_path / seed), seed],
            env={**os.environ, "PYTHONHASHSEED": seed, "POLARS_MAX_THREADS": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(done.stdout)
    assert found[0] == found[1]
