"""The configuration of Prometheus, as Prometheus itself reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from infra.observability.prometheus import RULES, Job, configuration, write_targets

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (apt-get install prometheus)")


@needs_promtool
def test_promtool_accepts_the_configuration_with_the_rules_and_alertmanager(tmp_path: Path) -> None:
    targets = write_targets(tmp_path / "online.json", [("127.0.0.1:5001", {"backend": "blue", "replica": "1"})])
    jobs = {"online": Job(file=targets), "proxy": Job(["127.0.0.1:3000"], path="/proxy/metrics")}
    file = tmp_path / "prometheus.yml"
    file.write_text(configuration(jobs, alertmanager="127.0.0.1:9093"))
    done = subprocess.run(["promtool", "check", "config", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("rules found") == len(list(RULES.glob("*.yml")))
    assert "WARNING" not in done.stdout


def test_a_job_that_no_rule_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="but got onlnie"):
        configuration({"onlnie": Job(["127.0.0.1:1"])})


def test_without_alertmanager_alerts_stay_on_the_page() -> None:
    content = yaml.safe_load(configuration({"batch": Job(["127.0.0.1:3001"], labels={"site": "here"})}))
    assert "alerting" not in content
    assert content["scrape_configs"][0]["static_configs"] == [
        {"targets": ["127.0.0.1:3001"], "labels": {"site": "here"}}
    ]
