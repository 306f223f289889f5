"""The exporter without servers: what it says of a project, what it costs, and that one fault does not hide the rest."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml
from observed_support import fill
from prometheus_client import CollectorRegistry

from bentos.online._metrics import Metrics
from har.settings import Settings
from infra.observability.exporter import Exporter, Part, parts, registry_of
from infra.observability.panels import PANELS
from infra.observability.prometheus import RULES


@pytest.fixture
def filled(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)  # another test's server is none of this project's
    fill(settings)
    return settings


def exporter_of(settings: Settings, said: list[str] | None = None) -> Exporter:
    return Exporter(parts(settings), ([] if said is None else said).append)


def figures(exporter: Exporter) -> dict[str, float]:
    found = {}
    for metric in exporter.collect():
        for one in metric.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in one.labels.items())
            found[f"{one.name}{{{labels}}}" if labels else one.name] = one.value
    return found


def test_what_the_lake_and_folders_say(filled: Settings) -> None:
    exporter = exporter_of(filled)
    assert exporter.read_all()
    found = figures(exporter)
    expected = {
        "har_unscored_days": 1,
        "har_champion_version": 7,
        "har_drift_confirmed": 1,
        "har_accuracy": 0.8,
        "har_quarantine_files": 1,
        "har_inbox_files": 1,
        'har_release_state{state="held"}': 1,
        'har_release_state{state="running"}': 0,
        'har_replicas{role="stable",state="ready"}': 2,
        "har_replicas_wanted": filled.serving.replicas,
        'har_table_rows{table="scores"}': 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["har_newest_sample_timestamp_seconds"] == pytest.approx(1_767_690_000, abs=1)
    # No server is known: the last write tells when a flow last worked.
    assert abs(found['har_flow_last_success_timestamp_seconds{flow="score"}'] - time.time()) < 60
    assert not [name for name in found if name.startswith("har_flow_late_runs")]


def test_an_empty_project_has_figures(settings: Settings) -> None:
    exporter = exporter_of(settings)
    assert exporter.read_all()
    found = figures(exporter)
    assert found["har_unscored_days"] == 0 and found['har_release_state{state="none"}'] == 1
    assert "har_champion_version" not in found and "har_drift_score" not in found


def test_a_source_that_fails_is_said_once_and_hides_no_other(filled: Settings) -> None:
    said: list[str] = []
    exporter = exporter_of(filled, said)
    exporter.read_all()
    state = filled.path("bentoml") / "release.json"
    good = state.read_text()
    state.write_text("[")
    assert not exporter.read_all() and not exporter.read_all()
    found = figures(exporter)
    assert found['har_exporter_ok{part="release"}'] == 0 and found['har_exporter_ok{part="lake"}'] == 1
    assert found['har_release_state{state="held"}'] == 1, "the last figures stay"
    assert len(said) == 1 and said[0].startswith("release: ReleaseError: ")
    state.write_text(good)
    assert exporter.read_all() and said[1:] == ["release: can be read again"]


def test_a_table_is_read_again_when_it_was_written(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from har.lake import Lake

    exporter = exporter_of(filled)
    exporter.read_all()
    lake = Lake(filled.path("lake"), filled.sensors.channels)
    with monkeypatch.context() as patch:
        patch.setattr("har.lake._reader.Reader.open", lambda *_: pytest.fail("an unchanged table was opened"))
        lake_part = next(part for part in exporter._parts if part.name == "lake")
        assert exporter.read(lake_part)
    day = lake.recordings.partitions()[1]
    scored = {"date": day[0], "subject": day[1], "content": lake.contents()[day], "model_version": 7}
    lake.scores.replace(pl.DataFrame([scored], lake.scores.schema), [day])
    exporter.read_all()
    assert figures(exporter)["har_unscored_days"] == 0


def test_a_scrape_does_not_wait_for_a_source_that_hangs() -> None:
    exporter = Exporter([Part("slow", lambda: time.sleep(5) or [])], print)
    exporter.start()
    began = time.monotonic()
    found = figures(exporter)
    exporter.stop()
    assert time.monotonic() - began < 2
    assert 'har_exporter_ok{part="slow"}' not in found, "it has neither failed nor succeeded"


def test_it_is_light_and_writes_nothing(filled: Settings) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in filled.root.rglob("*") if path.is_file()}

    before = files()
    script = (
        "import sys; from infra.observability.exporter import main; status = main(['--once', '--root', sys.argv[1]]); "
        "heavy = ('torch', 'mlflow', 'prefect', 'whylogs', 'scipy'); "
        "print('heavy:', [name for name in heavy if name in sys.modules]); "
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(filled.root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stdout
    assert "har_unscored_days 1.0" in done.stdout
    assert files() == before


def test_every_own_metric_that_a_panel_or_a_rule_names_exists(filled: Settings) -> None:
    """Of the online service and the exporter; a running system shows the rest (test_system.py)."""
    exporter = exporter_of(filled)
    exporter.read_all()
    registries = [registry_of(exporter), CollectorRegistry()]
    Metrics(("WALK",), registries[1])
    groups = [group for file in RULES.glob("*.yml") for group in yaml.safe_load(file.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    known = {rule["record"] for rule in rules if "record" in rule}
    for registry in registries:
        for metric in registry.collect():
            known |= {metric.name, *(f"{metric.name}_{ending}" for ending in ("total", "bucket", "sum", "count"))}
    texts = [rule["expr"] for rule in rules] + [query.promql for panel in PANELS for query in panel.queries]
    named = {name for text in texts for name in re.findall(r"\b(?:har_\w+|\w+(?::\w+)+)\b", text)}
    assert len(named) > 60
    assert named - known == set()
