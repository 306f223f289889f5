"""Every fault of a device is named by its cause, on people whom the reference has not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from har.devices import CAUSES, DeviceReference, Diagnosis, Finding, Recorded, Wearer, axes_of, diagnose, learn
from har.devices._recorded import motion
from har.errors import ModelError
from har.plausibility import GRAVITY
from tests.bench.devices._confusion import EACH_S, cases, right, summary
from tests.bench.devices._data import People, sample, spread
from tests.bench.devices._faults import Fault, faults

FAULTS = [fault for fault in faults() if fault[0] not in ("none", "clipping")]
HELD_OUT = ("s03", "s07", "s09")
AXES = ("axes_swapped", "axis_flipped", "turned", "mirrored", "axes_apart")


def _judged(recorded: list[Recorded], reference: DeviceReference | None) -> Diagnosis:
    return diagnose(recorded, reference, rate_hz=50.0, max_gap_s=0.5, beside="the test's people")


def _faulty(recorded: list[Recorded], fault: Fault) -> list[Recorded]:
    draw = np.random.default_rng(0)
    return [fault(one, draw) for one in recorded]


def _first(found: Diagnosis) -> Finding:
    assert found.findings
    return found.findings[0]


@pytest.mark.parametrize("subject", HELD_OUT)
def test_nothing_is_wrong_with_devices_of_new_people(people: People, reference: DeviceReference, subject: str) -> None:
    found = _judged(people[subject], reference)
    assert found.is_fine, found.findings
    assert found.seconds == pytest.approx(84, abs=2)


@pytest.mark.parametrize(("cause", "name", "fault"), FAULTS, ids=[name for _, name, _ in FAULTS])
def test_each_fault_is_named(
    device: list[Recorded], reference: DeviceReference, cause: str, name: str, fault: Fault
) -> None:
    found = _first(_judged(_faulty(device, fault), reference))
    assert found.code == cause, found.line
    assert found.evidence
    assert found.remedy


def test_the_other_wrist_is_named(reference: DeviceReference) -> None:
    other = sample("right")
    codes = [_first(_judged(spread(other[name], 84.0, EACH_S), reference)).code for name in HELD_OUT]
    assert codes == ["mirrored"] * 3


def test_the_options_of_a_finding_mend_the_axes(device: list[Recorded], reference: DeviceReference) -> None:
    for true, name, fault in FAULTS:
        if true not in AXES:
            continue
        faulty = _faulty(device, fault)
        pairs = [option.removeprefix("--axes ").split("=") for option in _first(_judged(faulty, reference)).options]
        axes = {sensor: axes_of(text) for sensor, text in pairs}
        same = np.eye(3)
        mended = [
            replace(
                one,
                accelerometer=one.accelerometer @ axes.get("accelerometer", same).T,
                gyroscope=one.gyroscope @ axes.get("gyroscope", same).T,
            )
            for one in faulty
        ]
        assert _judged(mended, reference).is_fine, name


def test_a_second_fault_is_found_behind_a_wrong_unit(device: list[Recorded], reference: DeviceReference) -> None:
    named = {name: fault for _, name, fault in FAULTS}
    faulty = _faulty(_faulty(device, named["axes y,x,z"]), named["m/s^2 read as g"])
    found = _judged(faulty, reference)
    assert [one.code for one in found.findings] == ["accelerometer_unit", "axes_swapped"]
    assert found.findings[0].options == ("--unit accelerometer=m/s^2",)
    assert found.findings[0].settings == ("[sensors.accelerometer]", 'unit = "m/s^2"')


def test_clipping_is_named_with_its_level(device: list[Recorded], reference: DeviceReference) -> None:
    clipped = [replace(one, accelerometer=np.clip(one.accelerometer, -GRAVITY * 1.3, GRAVITY * 1.3)) for one in device]
    found = next(one for one in _judged(clipped, reference).findings if one.code == "clipping")
    assert found.title == "The acceleration is clipped at ±1.3 g"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("m/s^2 read as g", "accelerometer_unit"),
        ("mg read as g", "accelerometer_unit"),
        ("deg/s read as rad/s", "gyroscope_unit"),
        ("high-pass 0.3 Hz", "gravity"),
        ("axes x,-y,z", "axis_flipped"),
        ("20 % of the samples lost", "jitter"),
    ],
)
def test_physics_alone_tells_without_a_champion(device: list[Recorded], name: str, code: str) -> None:
    assert _judged(device, None).is_fine
    fault = next(fault for _, one, fault in FAULTS if one == name)
    found = _judged(_faulty(device, fault), None)
    assert _first(found).code in ({code} if code != "axis_flipped" else {*AXES})
    assert found.beside.startswith("physics alone")


def test_too_short_a_recording_says_so(device: list[Recorded], reference: DeviceReference) -> None:
    found = _judged(spread(device[:1], 6.0, 12.0), reference)
    assert found.is_fine
    assert found.undecided == (
        "6.0 s without a gap are too few to say anything about the values: record 10 seconds or more.",
    )


def test_a_device_at_rest_leaves_axes_open(reference: DeviceReference) -> None:
    draw = np.random.default_rng(0)
    count = 50 * 30
    still = Recorded(
        np.arange(count) * 20_000,
        np.array([0.0, 0.0, GRAVITY]) + draw.normal(0, 0.02, (count, 3)),
        draw.normal(0, 0.005, (count, 3)),
        {"accelerometer": "m/s^2", "gyroscope": "rad/s"},
        placement="wrist",
    )
    found = _judged([still], reference)
    assert not {one.code for one in found.findings} & {"gyroscope_unit", "accelerometer_unit", "gravity", "rate"}
    assert any("hardly moves" in sentence for sentence in found.undecided)


def test_a_slow_device_is_told_by_its_stamps(device: list[Recorded], reference: DeviceReference) -> None:
    slow = [
        replace(
            one,
            times_us=one.times_us[::2],
            accelerometer=one.accelerometer[::2],
            gyroscope=None if one.gyroscope is None else one.gyroscope[::2],
        )
        for one in device
    ]
    found = _first(_judged(slow, reference))
    assert found.title == "It samples at 25 Hz, and the model was trained on 50 Hz"


def test_without_a_gyroscope_the_accelerometer_is_judged(people: People) -> None:
    alone = {name: [replace(one, gyroscope=None) for one in recorded] for name, recorded in people.items()}
    wearers = [
        Wearer(name, "wrist", motion(recorded, 50.0, 0.5)) for name, recorded in alone.items() if name not in HELD_OUT
    ]
    reference = learn(wearers, rate_hz=50.0)
    assert reference is not None
    unit = next(fault for _, name, fault in FAULTS if name == "m/s^2 read as g")
    for name in HELD_OUT:
        assert _judged(alone[name], reference).is_fine
        faulty = [replace(one, gyroscope=None) for one in _faulty(people[name], unit)]
        assert _first(_judged(faulty, reference)).code == "accelerometer_unit"


def test_a_reference_comes_back_from_its_file(
    device: list[Recorded], reference: DeviceReference, tmp_path: Path
) -> None:
    path = tmp_path / "devices.json"
    reference.write(path)
    again = DeviceReference.read(path)
    assert path.stat().st_size < 200_000
    fault = next(fault for _, name, fault in FAULTS if name == "axes y,x,z")
    assert _first(_judged(_faulty(device, fault), again)).code == "axes_swapped"
    path.write_text('{"form": 99}')
    with pytest.raises(ModelError, match="a device reference of form 1"):
        DeviceReference.read(path)


def test_two_people_make_no_reference(people: People) -> None:
    wearers = [Wearer(name, "", motion(people[name], 50.0, 0.5)) for name in ("s03", "s07")]
    assert learn(wearers, rate_hz=50.0) is None


def test_every_code_has_its_words(device: list[Recorded], reference: DeviceReference) -> None:
    assert {cause for cause, _, _ in faults()} - {"none"} <= set(CAUSES)
    found = _judged(device, reference).to_json()
    assert (found["device"], found["placement"], list(found["findings"])) == ("Apple Watch", "wrist", [])


@pytest.mark.release
def test_nine_of_ten_causes_are_right_and_right_devices_stay_unnamed() -> None:
    found = cases(sample("left"), 50.0, lengths_s=(84.0,), other_side=sample("right"))
    assert np.mean([right(case) for case in found]) >= 0.9
    assert summary(found)["none"]["right"] >= 0.97  # type: ignore[operator]
