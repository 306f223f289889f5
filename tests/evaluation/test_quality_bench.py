"""`make bench-quality`: its protocols, features, comparison and page; and that an interrupted run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from page_support import Page

from har.errors import NotEnoughDataError
from har.evaluation import Outcome
from har.jobs.ingest import ingest
from har.project import open_project
from har.settings import load_settings
from har.training import Signal
from tests.bench.quality import __main__ as bench
from tests.bench.quality import _page
from tests.bench.quality._data import Data
from tests.bench.quality._features import MINIMAL, minimal_features, minimal_of
from tests.bench.quality._figures import group_macro_f1, paired
from tests.bench.quality._measure import Measured, Progress, measure, model_of, speeds
from tests.bench.quality._peers import Part, Peer, Result, in_process_peers, one_hot
from tests.bench.quality._protocols import ARENA, OURS, interval_windows, intervals, round_robin
from tests.bench.quality._sets import imported_set

SUBJECTS = tuple(f"s{number:02d}" for number in range(1, 13))


def test_ten_groups_hold_everybody_once() -> None:
    groups = round_robin([*SUBJECTS[::-1], "s01"], 10)
    assert len(groups) == 10
    assert sorted(subject for group in groups for subject in group) == list(SUBJECTS)
    # As WHAR Arena's code deals them: the eleventh of the sorted names joins the first.
    assert groups[0] == ("s01", "s11")
    assert groups[1] == ("s02", "s12")
    assert groups[9] == ("s10",)


def test_fewer_subjects_than_groups_are_alone() -> None:
    assert round_robin(["b", "a", "c"], 10) == (("a",), ("b",), ("c",))
    with pytest.raises(NotEnoughDataError, match="at least 3 subjects"):
        round_robin(["a", "b"], 10)


def test_an_interval_ends_where_label_or_segment_changes() -> None:
    segments = np.array([0, 0, 0, 0, 1, 1, 1])
    labels = np.array([2, 2, -1, 2, 2, 2, 0])
    assert intervals(segments, labels).tolist() == [0, 0, 1, 2, 3, 3, 4]


@pytest.fixture
def two_labels(put: Callable[..., Path], project: Path) -> Path:
    """Three subjects, each with a recording of 10 s PEN, 4 s without a label and 11 s ROW."""
    for subject in ("s01", "s02", "s03"):
        path = put("2024-01-01", subject, "a", "PEN", seconds=25)
        frame = pl.read_csv(path)
        row = pl.int_range(pl.len())
        label = pl.when(row < 500).then(pl.lit("PEN")).when(row >= 700).then(pl.lit("ROW"))
        frame.with_columns(label.alias("activity")).write_csv(path)
    ingest(open_project(project))
    return project


def test_no_window_of_whar_arena_crosses_a_change_of_label(two_labels: Path) -> None:
    opened = open_project(two_labels)
    settings = ARENA.configure(opened.settings)
    assert (settings.length, settings.stride) == (150, 75)
    windows = interval_windows(opened.lake, settings)
    # 10 s give 5 windows of 3 s, 1.5 s apart; 11 s give 6. The first of ROW begins with the interval.
    of_one = windows.select(windows.subjects == "s01")
    assert of_one.starts.tolist() == [0, 75, 150, 225, 300, *range(700, 700 + 6 * 75, 75)]
    assert of_one.labels.tolist() == [0] * 5 + [6] * 6
    # The same windows under the project's own protocol begin with the recording, and one of them is mixed.
    ours = OURS.windows(opened.lake, settings)
    assert set(ours.starts.tolist()) != set(windows.starts.tolist())


def test_nobody_is_on_two_sides(two_labels: Path, tmp_path: Path) -> None:
    settings = load_settings(two_labels)
    settings = settings.model_copy(update={"split": settings.split.model_copy(update={"folds": 3})})
    for protocol in (OURS, ARENA):
        data = Data.of("x", protocol, settings, tmp_path / "kept")
        assert sorted(subject for fold in data.folds for subject in fold) == ["s01", "s02", "s03"]
        for number, fold in enumerate(data.folds):
            assert set(data.windows.subjects[data.fold_of == number].tolist()) == set(fold)


def test_minimal_features_are_those_of_tsfresh() -> None:
    window = np.array([[[1, -8], [2, 2], [3, 2], [4, 2]]], np.float32)
    found = minimal_features(window).reshape(len(MINIMAL), 2)
    assert dict(zip(MINIMAL, found[:, 0].tolist(), strict=True)) == pytest.approx(
        {
            "sum_values": 10,
            "median": 2.5,
            "mean": 2.5,
            "length": 4,
            "standard_deviation": 1.25**0.5,
            "variance": 1.25,
            "root_mean_square": 7.5**0.5,
            "maximum": 4,
            "absolute_maximum": 4,
            "minimum": 1,
        }
    )
    assert dict(zip(MINIMAL, found[:, 1].tolist(), strict=True)) == pytest.approx(
        {
            "sum_values": -2,
            "median": 2,
            "mean": -0.5,
            "length": 4,
            "standard_deviation": 18.75**0.5,
            "variance": 18.75,
            "root_mean_square": 19**0.5,
            "maximum": 2,
            "absolute_maximum": 8,
            "minimum": -8,
        }
    )


class _Counting(Peer):
    """Answers 0 for every window, and says which parts it was asked for; fails at the part `fails`."""

    name, what, seeded = "counting", "for the test", True

    def __init__(self, version: str = "1", fails: Part | None = None) -> None:
        self.version, self.fails, self.asked = version, fails, []  # type: ignore[var-annotated]

    def code(self) -> str:
        return self.version

    def run(self, data: Data, parts: Sequence[Part], model: Path) -> Iterator[Result]:
        for part in parts:
            if part == self.fails:
                raise KeyboardInterrupt
            self.asked.append(part)
            rows = int((data.fold_of == part[1]).sum())
            model.write_text("")
            yield Result(part, one_hot(np.zeros(rows, np.int64), 7), 1.0)

    def open(self, model: Path, default: Path) -> Callable[[NDArray[np.float32]], Any]:
        return lambda windows: windows.sum()


@pytest.fixture
def data(two_labels: Path, tmp_path: Path) -> Data:
    return Data.of("x", ARENA, load_settings(two_labels), tmp_path / "kept")


def test_an_interrupted_run_goes_on_where_it_ended(data: Data) -> None:
    interrupted = _Counting(fails=(0, 2))
    with pytest.raises(KeyboardInterrupt):
        measure(data, interrupted, [0, 1], say=Progress())
    again = _Counting()
    measured = measure(data, again, [0, 1], say=Progress())
    assert interrupted.asked == [(0, 0), (0, 1)]
    assert again.asked == [(0, 2), (1, 0), (1, 1), (1, 2)]
    assert len(measured.outcomes) == 2
    assert measured.outcomes[0].accuracy == pytest.approx(5 / 11)
    other = _Counting(version="2")
    measure(data, other, [0], say=Progress())
    assert other.asked == [(0, 0), (0, 1), (0, 2)]


def test_features_are_computed_once(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.minimal
    np.testing.assert_array_equal(first.values, minimal_of(data.windows))
    monkeypatch.setattr("tests.bench.quality._features.minimal_of", None)
    np.testing.assert_array_equal(replace(data).minimal.values, first.values)


def _outcome(labels: list[int], answers: list[int], subjects: list[str]) -> Outcome:
    return Outcome(np.array(labels), one_hot(np.array(answers), 3), np.array(subjects), ("a", "b", "c"))


def test_macro_f1_by_groups_divides_by_all_activities(data: Data) -> None:
    labels = data.windows.labels.astype(np.int64)
    perfect = Outcome(labels, one_hot(labels, 7), data.windows.subjects, data.signal.activities)
    # Each group has two of the seven activities.
    assert group_macro_f1(data, [perfect]) == pytest.approx([2 / 7] * 3)


def test_a_difference_is_paired_over_subjects() -> None:
    subjects = [subject for subject in "uvwxyz" for _ in range(4)]
    labels = [0, 1, 2, 0] * 6
    # Every subject loses exactly one of its windows to the default: there is nothing to chance.
    default = _outcome(labels, labels, subjects)
    peer = _outcome(labels, [0, 1, 0, 0] * 6, subjects)
    found = paired([peer], [default])
    assert found["accuracy_gain"] == found["accuracy_gain_low"] == found["accuracy_gain_high"] == pytest.approx(0.25)
    assert paired([default], [default])["macro_f1_gain_high"] == 0
    turned = paired([default], [peer])
    assert turned["accuracy_gain"] == pytest.approx(-0.25)
    assert turned["macro_f1_gain"] == pytest.approx(-found["macro_f1_gain"])


def test_speed_is_measured_for_every_peer_of_a_run(data: Data) -> None:
    peer = _Counting()
    measured = measure(data, peer, [0], say=Progress())
    found = speeds(data, [measured, Measured(_Counting(), problem="not here")])
    assert found["counting"].one_us > 0
    assert model_of(data, peer) == measured.model


def test_the_whole_bench_on_a_project(
    project: Path, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for subject in ("s01", "s02", "s03", "s04"):
        for activity in ("PEN", "ABD", "ROW"):
            put("2024-01-01", subject, activity, activity, seconds=24)
    toml = (project / "har.toml").read_text()
    names = 'names = ["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"]'
    assert names in toml
    changed = toml.replace(names, 'names = ["PEN", "ABD", "ROW"]').replace("epochs = 12", "epochs = 2")
    (project / "har.toml").write_text(changed + "\n[split]\nfolds = 2\n")
    ingest(open_project(project))
    arguments = ["--root", str(project), "--seeds", "1", "--only", "svm", "forest", "forest-arena"]
    assert bench.main([*arguments, "--protocol", "ours", "whar-arena"]) == 0
    figures = json.loads((project / "reports" / "quality.json").read_text())
    ours, arena = figures["sets"]
    assert [peer["peer"] for peer in ours["peers"]] == ["default", "svm", "forest"]
    assert [peer["peer"] for peer in arena["peers"]] == ["default", "svm", "forest", "forest-arena"]
    assert (ours["protocol"], ours["length_s"], ours["folds"]) == ("ours", 4.0, 2)
    assert (arena["protocol"], arena["length_s"], arena["folds"]) == ("whar-arena", 3.0, 4)
    for peer in [*ours["peers"], *arena["peers"]]:
        assert peer["accuracy_low"] <= peer["accuracy"] <= peer["accuracy_high"]
        assert peer["mb"] > 0
        assert peer["one_us"] > 0
    assert ours["peers"][1]["accuracy_gain"] == pytest.approx(
        ours["peers"][0]["accuracy"] - ours["peers"][1]["accuracy"]
    )
    page = Page((project / "reports" / "quality.html").read_text())
    for statement in (*OURS.statement.values(), *ARENA.statement.values()):
        assert " ".join(statement.split()) in page.words
    assert page.words.count("forest-arena") >= 1
    assert not page.loads
    assert "quality.html" in (project / "reports" / "index.html").read_text()
    assert _page.render(figures) == (project / "reports" / "quality.html").read_text()
    assert figures["left_out"] == []
    assert "brief ones have no window" in _page.render({**figures, "left_out": ["brief ones have no window"]})
    assert "reports/quality.json" in capsys.readouterr().out


def test_published_recordings_come_through_har_import(tmp_path: Path) -> None:
    """A folder in the layout of MotionSense: rate, units and activities are found, and it is imported and ingested."""
    columns = [f"{name}.{axis}" for name in ("gravity", "userAcceleration", "rotationRate") for axis in "xyz"]
    for number in (1, 2, 3):
        rng = np.random.default_rng(number)
        for trial, size in (("wlk_7", 0.4), ("sit_5", 0.01)):
            values = rng.normal(0, size, (800, 9))
            values[:, :3] = [0, 0, 1]
            path = tmp_path / "A_DeviceMotion_data" / trial / f"sub_{number}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            pl.DataFrame(values, columns).write_csv(path)
    found = imported_set("motionsense", tmp_path / "A_DeviceMotion_data", {}, {"wlk": "walking"})
    assert (found.name, found.rate_hz, found.units) == ("motionsense", 50, ("g", "rad/s"))
    assert found.activities == ("sit", "walking")
    assert found.command == "har import motionsense A_DeviceMotion_data --map wlk=walking"
    settings = found.project(tmp_path / "kept")
    data = Data.of(found.name, ARENA, settings, tmp_path / "kept")
    assert sorted(set(data.windows.subjects.tolist())) == ["s01", "s02", "s03"]
    assert data.signal == Signal.from_settings(ARENA.configure(settings))
    assert found.project(tmp_path / "kept").root == settings.root


def test_the_default_comes_first_and_no_peer_twice() -> None:
    for default in ("spectral", "dscnn"):
        names = [peer.name for peer in in_process_peers(default)]
        assert names[0] == "default"
        assert len(set(names)) == len(names)
    assert "dscnn" not in [peer.name for peer in in_process_peers("dscnn")]
