"""Every alert fires when it must and is silent when it must, as Prometheus's own rule engine evaluates it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from alert_cases import CASES, Case

from infra.observability.prometheus import RULES

HANDBOOK = Path(__file__).parents[3] / "docs" / "how-to" / "monitoring.md"

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (apt-get install prometheus)")


def alerts(file: Path) -> dict[str, dict]:
    return {rule["alert"]: rule for group in _groups(file) for rule in group["rules"] if "alert" in rule}


def _groups(file: Path) -> list[dict]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    files = {file.stem: alerts(file) for file in RULES.glob("*.yml")}
    assert {name: sorted(cases) for name, cases in CASES.items()} == {name: sorted(own) for name, own in files.items()}
    for cases in CASES.values():
        for alert, tried in cases.items():
            assert {bool(case.fires) for case in tried} == {True, False}, alert


def test_every_alert_says_how_bad_it_is_and_what_happened() -> None:
    handbook = HANDBOOK.read_text(encoding="utf-8")
    for file in RULES.glob("*.yml"):
        for name, rule in alerts(file).items():
            assert rule["labels"]["severity"] in ("page", "ticket"), name
            assert rule["annotations"]["summary"] and rule["annotations"]["description"], name
            assert f"### {name}\n" in handbook, f"{name} has no paragraph in docs/how-to/monitoring.md"


@needs_promtool
@pytest.mark.parametrize("name", CASES)
def test_alerts_fire_and_are_silent(name: str, tmp_path: Path) -> None:
    tests = [_test(alert, case) for alert, cases in CASES[name].items() for case in cases]
    content = {
        "rule_files": [str(RULES / f"{name}.yml")],
        "evaluation_interval": "5m" if name == "slo" else "15s",
        # Without it, promtool evaluates the groups of one moment in a random order.
        "group_eval_order": [group["name"] for group in _groups(RULES / f"{name}.yml")],
        "tests": tests,
    }
    file = tmp_path / "alerts.yml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _test(alert: str, case: Case) -> dict:
    return {
        "name": f"{alert}: {case.why}",
        "interval": case.step,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)',
                "eval_time": case.at,
                "exp_samples": [{"labels": "{}", "value": case.fires}],
            }
        ],
    }
