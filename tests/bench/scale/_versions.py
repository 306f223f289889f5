"""Registered versions for the bench: as `Registry.register` leaves them, without model files."""

from __future__ import annotations

import time

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from har.registry import Promotion, PromotionLog, Registry, local_database


def add_versions(registry: Registry, number: int) -> None:
    """Let the registry have so many versions; each new one is a rejected copy of the first, which stays champion."""
    first = registry.version(1)
    uri = local_database(registry.folder)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_run(first.run_id).info.experiment_id
    log = PromotionLog(registry.folder)
    last = registry.log()[-1]
    for version in range(len(registry.versions()) + 1, number + 1):
        run = client.create_run(experiment)
        stamp = int(time.time() * 1000)
        metrics = [Metric(name, value, stamp, 0) for name, value in first.metrics.items()]
        params = [Param(name, value) for name, value in first.params.items()]
        client.log_batch(run.info.run_id, metrics=metrics[:1000], params=params[:100])
        client.set_terminated(run.info.run_id)
        tags = {**first.tags, "status": "complete", "registration": f"copy {version}"}
        source = f"{run.info.artifact_uri}/model"
        client.create_model_version(registry.name, source, run.info.run_id, tags=tags, await_creation_for=0)
        entry = Promotion(**{**vars(last), "action": "reject", "version": version, "reason": "It is a copy."})
        log.append(log.compose(entry, log.head(registry.name)))
    client.set_registered_model_tag(registry.name, "promotions_head", log.head(registry.name))
