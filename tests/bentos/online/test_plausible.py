"""What no sensor measures is refused, what is implausible is warned of, and a sensor that is off is no activity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from serving_support import ACTIVITIES, CHANNELS, LENGTH, OCTETS, Service, eventually, movements

from har.inference import Package
from har.plausibility import CODES, NO_SIGNAL

pytestmark = pytest.mark.stack

SHAPE = f"12,{LENGTH},{CHANNELS}"


def windows() -> np.ndarray:
    return movements(12, seed=3)


def in_g() -> np.ndarray:
    return windows() / np.array([9.80665] * 3 + [1] * 3, np.float32)


def answered(service: Service, way: str, values: np.ndarray, **place: Any) -> tuple[int, dict[str, Any]]:
    """Status and body of an answer to JSON or bytes."""
    if way == "json":
        response = service.client.post("/predict", json={"windows": values.tolist(), **place})
    else:
        response = service.raw(values, **place)
    return response.status_code, response.json()


WAYS = pytest.mark.parametrize("way", ["json", "raw"])


@WAYS
def test_good_windows_have_no_warning(service: Service, way: str) -> None:
    assert answered(service, way, windows())[1]["warnings"] == []


@WAYS
@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        ([1 / 9.80665] * 3 + [1] * 3, "accelerometer_unit", "look like g"),
        ([1] * 3 + [57.29578 / 4] * 3, "gyroscope_unit", "rad/s"),
        ([1] * 3 + [0] * 3, "gyroscope_off", "Switch the gyroscope on"),
    ],
)
def test_a_wrong_unit_is_answered_with_a_warning(
    service: Service, way: str, spoil: list[float], code: str, words: str
) -> None:
    good = windows()
    if code == "gyroscope_unit":  # turns that the acceleration does not confirm
        good = movements(12, activity=0)
        good[:, :, 3:] = 0.3
        good[:, :, 3:] += movements(12, activity=0)[:, :, 3:] / 100
    before = service.metric("har_warnings_total", code=code)
    status, body = answered(service, way, good * np.array(spoil, np.float32))
    assert status == 200
    (warning,) = body["warnings"]
    assert warning["code"] == code
    assert words in warning["text"]
    assert service.metric("har_warnings_total", code=code) == before + 1


@WAYS
@pytest.mark.parametrize(
    ("factors", "channel", "words"),
    [
        ([1000 / 9.80665] * 3 + [1] * 3, "accel_", "would fit mg"),
        ([1] * 3 + [57.29578] * 3, "gyro_", "would fit deg/s"),
    ],
    ids=["mg", "deg/s"],
)
def test_values_beyond_full_scale_are_refused(
    service: Service, way: str, factors: list[float], channel: str, words: str
) -> None:
    fast = movements(12, activity=2)
    status, body = answered(service, way, fast * np.array(factors, np.float32))
    assert status == 422
    assert channel in body["error"]["field"]
    assert "the sensor's full scale" in body["error"]["expected"]
    assert words in body["error"]["remedy"]


def test_full_scale_itself_and_a_little_more_is_taken(service: Service) -> None:
    values = windows()
    values[0, 0, 0] = 1.09 * 16 * 9.80665
    assert answered(service, "json", values)[0] == 200
    values[0, 0, 0] = 1.11 * 16 * 9.80665
    assert answered(service, "json", values)[0] == 422


@pytest.mark.parametrize("rounded", [False, True], ids=["values", "whole numbers"])
def test_big_endian_bytes_are_refused_by_name(service: Service, rounded: bool) -> None:
    values = windows().round() if rounded else windows()
    body = values.astype(">f4").tobytes()
    response = service.client.post("/predict/raw", content=body, params={"shape": SHAPE}, headers=OCTETS)
    assert response.status_code == 422
    assert response.json()["error"]["expected"] == "float32, little-endian"
    assert "'<f4'" in response.json()["error"]["remedy"]


@WAYS
@pytest.mark.parametrize(("rate_hz", "status"), [(50, 200), (50.5, 200), (49.1, 200), (100, 422), (25, 422), (52, 422)])
def test_the_rate_that_a_client_gives_is_compared(service: Service, way: str, rate_hz: float, status: int) -> None:
    got, body = answered(service, way, windows(), rate_hz=rate_hz)
    assert got == status
    if status == 422:
        assert body["error"]["field"] == "rate_hz"
        assert body["error"]["expected"] == "50, the rate of the model's windows"
        assert "Resample to 50 Hz" in body["error"]["remedy"]


@pytest.mark.parametrize("rate_hz", ["", "fast", "nan", "inf", "-50", "0"])
def test_a_rate_that_is_none(service: Service, rate_hz: str) -> None:
    status, body = answered(service, "raw", windows(), rate_hz=rate_hz)
    assert (status, body["error"]["field"]) == (422, "rate_hz")


@WAYS
def test_a_sensor_that_is_off_is_no_activity(service: Service, way: str) -> None:
    values = windows()
    values[2] = 0
    values[5] = values[5, :1]
    counters = {name: service.metric("har_predictions_total", activity=name) for name in (*ACTIVITIES, NO_SIGNAL)}
    unsure, confident = service.metric("har_abstained_total"), service.metric("har_confidence_count")
    status, body = answered(service, way, values)
    assert status == 200
    found = body["predictions"]
    assert [at for at, one in enumerate(found) if one["activity"] == NO_SIGNAL] == [2, 5]
    for one in (found[2], found[5]):
        assert one == {
            "activity": NO_SIGNAL,
            "confidence": 0.0,
            "abstained": True,
            "probabilities": dict.fromkeys(ACTIVITIES, 0.0),
            "unknown": False,
        }
    assert body["warnings"] == []
    assert service.metric("har_predictions_total", activity=NO_SIGNAL) == counters[NO_SIGNAL] + 2
    others = sum(one["abstained"] for one in found) - 2
    assert service.metric("har_abstained_total") == unsure + others
    assert service.metric("har_confidence_count") == confident + 10
    line = eventually(lambda: [one for one in service.lines("prediction") if one["request_id"] == body["request_id"]])[
        0
    ]
    assert line["activity"] == [one["activity"] for one in found]
    assert line["abstained"] == [one["abstained"] for one in found]


def test_a_strict_service_refuses_what_is_implausible(serve: Any, package: Package) -> None:
    service = serve(package, strict=1)
    assert answered(service, "json", windows())[0] == 200
    status, body = answered(service, "json", in_g())
    assert status == 422
    assert body["error"]["field"] == "accelerometer"
    assert "look like g" in body["error"]["remedy"]
    assert service.metric("har_warnings_total", code="accelerometer_unit") == 1
    # A sensor that is off is a fact about the wearer, not a mistake of the client.
    assert answered(service, "raw", 0 * windows())[1]["predictions"][0]["activity"] == NO_SIGNAL


def test_every_code_has_a_series_from_the_start(service: Service) -> None:
    service.app.answering.metrics.flush()
    names = {
        sample.labels["code"]
        for metric in service.registry.collect()
        for sample in metric.samples
        if sample.name == "har_warnings_total"
    }
    assert names == set(CODES)
