"""What a real service logs comes into the lake as it was answered, while it runs and after it stopped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from serving_support import Service, eventually, movements

from har.inference import Classifier, Package
from har.jobs.collect import CollectReport, collect_files, log_chunks
from har.lake import Lake

pytestmark = pytest.mark.stack

Serve = Callable[..., Service]


def collect(service: Service, lake: Lake) -> CollectReport:
    report = CollectReport()
    for chunk in log_chunks(service.settings):
        report.add(collect_files(lake, chunk))
    return report


def test_requests_shadows_and_feedback_become_rows(serve: Serve, package: Package) -> None:
    service = serve(package, shadow_share=1.0, log_rotate_s=0.3)
    lake = Lake(service.settings.path("lake"), service.settings.sensors.channels)
    known = movements(3, seed=1)
    start = "2024-05-01T10:00:00+02:00"
    first = service.predict(known, subject="s01", session="left", start=start)
    second = service.raw(movements(2, seed=2)).json()
    eventually(lambda: len(service.lines("shadow")) == 2)
    while_open = collect(service, lake)
    assert while_open.requests == 5
    for line in (
        {"activity": "RUN", "request_id": first["request_id"]},
        {"activity": "SIT", "subject": "s01", "start": start, "end": "2024-05-01T10:05:00+02:00"},
    ):
        assert service.client.post("/feedback", json=line).status_code == 202
    eventually(lambda: len(service.lines("feedback")) == 2)
    third = service.predict(movements(1, seed=3), subject="s01")

    def all_closed() -> bool:
        collect(service, lake)
        return not log_chunks(service.settings) and lake.requests.read()["shadow_version"].drop_nulls().len() == 6

    eventually(all_closed)
    rows = lake.predictions.read().sort("start")
    answers = {answer["request_id"]: answer["predictions"] for answer in (first, second, third)}
    assert set(rows["request_id"]) == set(answers)
    for (name,), group in rows.group_by("request_id"):
        assert group["activity"].to_list() == [one["activity"] for one in answers[name]]
        np.testing.assert_allclose(group["confidence"], [one["confidence"] for one in answers[name]], rtol=1e-6)
    own = rows.filter(pl.col("request_id") == first["request_id"])
    assert own.select("subject", "session").unique().rows() == [("s01", "left")]
    assert own["start"].dt.strftime("%FT%T%.3f").to_list() == [
        f"2024-05-01T08:00:00.{part}" for part in ("000", "160", "320")
    ]
    assert set(rows.filter(pl.col("request_id") == second["request_id"])["subject"]) == {"unknown"}

    requests = lake.requests.read().sort("start").filter(pl.col("request_id") == first["request_id"])
    expected = Classifier(package.model).predict(known)
    np.testing.assert_allclose(np.array(requests["features"].to_list()), expected.features, rtol=1e-4, atol=1e-4)
    assert requests["shadow_version"].to_list() == [8, 8, 8]
    labels = lake.labels.read().sort("activity").select("subject", "activity", "start", "end", "source")
    # Feedback about the request, and about five minutes of which the service answered half a second.
    answered = (own["start"].min(), own["end"].max())
    assert labels.rows() == [("s01", activity, *answered, "127.0.0.1") for activity in ("RUN", "SIT")]
