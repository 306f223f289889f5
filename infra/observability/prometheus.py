"""The configuration of Prometheus: what it reads, how often, the project's rules, and where it sends alerts.

`make up` and the stack in containers are made from the same function; only the addresses differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from har.files import write_atomically

RULES = Path(__file__).with_name("rules")
"""The folder of the recording and alert rules."""

JOBS = ("online", "batch", "proxy", "project", "prometheus", "alerts")
"""The names that rules and dashboards know the targets by.

`online`: the replicas of the online service; `batch`: the batch service; `proxy`: HAProxy; `project`: the exporter
(`infra.observability.exporter`); `prometheus`, `alerts`: Prometheus and Alertmanager themselves.
"""

_FAST = ("online", "proxy", "project")
"""Read every 5 s: a release is judged by what they say within seconds."""
_FAST_S, _OTHER_S, _TIMEOUT_S = 5, 15, 4


@dataclass(frozen=True)
class Job:
    """Targets that Prometheus reads in the same way.

    Attributes:
        addresses: `host:port` of each.
        file: a file that lists targets, written by `write_targets` while Prometheus runs; None: only `addresses`.
        path: of the metrics.
        labels: further labels of `addresses`.
        boxes: `host:port` of boxes that are not always there, by the label `backend` that their figures get.
    """

    addresses: Sequence[str] = ()
    file: Path | None = None
    path: str = "/metrics"
    labels: Mapping[str, str] = field(default_factory=dict)
    boxes: Mapping[str, str] = field(default_factory=dict)


def configuration(
    jobs: Mapping[str, Job], *, project: str = "", alertmanager: str = "", rules: str = f"{RULES}/*.yml"
) -> str:
    """The text of `prometheus.yml`.

    Args:
        jobs: by the names in `JOBS`; what does not run here is left out.
        project: its name, which alerts carry.
        alertmanager: `host:port` of Alertmanager; "": alerts are shown on Prometheus's page only.
        rules: a pattern of the rule files, as Prometheus sees them.

    Raises:
        ValueError: a job has a name that no rule knows.
    """
    unknown = set(jobs) - set(JOBS)
    if unknown:
        raise ValueError(f"jobs: expected {', '.join(JOBS)}, but got {', '.join(sorted(unknown))}")
    content: dict[str, Any] = {
        "global": {
            "scrape_interval": f"{_OTHER_S}s",
            "scrape_timeout": f"{_TIMEOUT_S}s",
            "evaluation_interval": f"{_OTHER_S}s",
        },
        "rule_files": [rules],
        "scrape_configs": [_scraped(name, jobs[name]) for name in JOBS if name in jobs],
    }
    if project:
        content["global"]["external_labels"] = {"project": project}
    if alertmanager:
        content["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return str(yaml.safe_dump(content, sort_keys=False))


def _scraped(name: str, job: Job) -> dict[str, Any]:
    scraped: dict[str, Any] = {"job_name": name, "metrics_path": job.path}
    if name in _FAST:
        scraped["scrape_interval"] = f"{_FAST_S}s"
    if job.addresses:
        static: dict[str, Any] = {"targets": [*job.addresses]}
        if job.labels:
            static["labels"] = dict(job.labels)
        scraped["static_configs"] = [static]
    if job.boxes:
        # By name: one that is not there is no target, and so none that is down.
        hosts = {backend: address.partition(":") for backend, address in job.boxes.items()}
        scraped["dns_sd_configs"] = [
            {"names": [host], "type": "A", "port": int(port), "refresh_interval": f"{_FAST_S}s"}
            for host, _, port in hosts.values()
        ]
        scraped["relabel_configs"] = [
            *(
                {"source_labels": ["__meta_dns_name"], "regex": host, "target_label": "backend", "replacement": backend}
                for backend, (host, _, _) in hosts.items()
            ),
            {"source_labels": ["__meta_dns_name"], "target_label": "replica"},
        ]
    if job.file is not None:
        scraped["file_sd_configs"] = [{"files": [str(job.file)], "refresh_interval": f"{_FAST_S}s"}]
    return scraped


def write_targets(file: Path, targets: Sequence[tuple[str, Mapping[str, str]]]) -> Path:
    """Write the file of a `Job`; Prometheus takes it up within seconds, without a reload.

    Args:
        file: where; atomically replaced.
        targets: for each target its `host:port` and its labels, such as `backend` and `replica`.
    """
    content = [{"targets": [address], "labels": dict(labels)} for address, labels in targets]
    return write_atomically(file, json.dumps(content, indent=2) + "\n")


def command(
    program: str, file: Path, data: Path, address: str, *, keep: str = "30d", page: str | None = None
) -> list[str]:
    """How Prometheus is started.

    Args:
        program: its path.
        file: the configuration.
        data: the folder of its data.
        address: the `host:port` to listen on.
        keep: how long it keeps figures.
        page: who may read its answers from a web page; None: only its own page. By default, any web page may.
    """
    return [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={data}",
        f"--storage.tsdb.retention.time={keep}",
        f"--web.listen-address={address}",
        f"--web.cors.origin={page or f'http://{address}'}",
        "--log.level=warn",
    ]
