"""The contract with clients of the last release: each kind of break is found, and what breaks nobody passes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version
from tests_support import HAR_TOML

from har.settings import load_settings
from infra.delivery.online import contract
from infra.delivery.online._compare import breaks, essence

Document = dict[str, Any]

ANSWER = ("components", "schemas", "Answer")
PREDICTION = ("components", "schemas", "Prediction", "properties")
PREDICT = ("paths", "/predict", "post")
BODY = (*PREDICT, "requestBody", "content", "application/json", "schema")
WINDOWS = (*BODY, "properties", "windows")
RAW = ("paths", "/predict/raw", "post")
FEEDBACK = ("paths", "/feedback", "post", "requestBody", "content", "application/json", "schema", "oneOf")
UPLOAD = ("paths", "/score", "post", "requestBody", "content", "multipart/form-data", "schema")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    """The documents of a project, as a release records them."""
    root = tmp_path_factory.mktemp("project")
    (root / "har.toml").write_text(HAR_TOML)
    settings = load_settings(root)
    return {name: essence(make(settings)) for name, make in contract.SERVICES.items()}


def at(document: Document, *keys: Any) -> Any:
    for key in keys:
        document = document[key]
    return document


def put(*keys: Any, value: Any) -> Callable[[Document], None]:
    return lambda document: at(document, *keys[:-1]).__setitem__(keys[-1], value)


def drop(*keys: Any) -> Callable[[Document], None]:
    return lambda document: at(document, *keys[:-1]).__delitem__(keys[-1])


def append(*keys: Any, value: Any) -> Callable[[Document], None]:
    return lambda document: at(document, *keys).append(value)


def remove(*keys: Any, value: Any) -> Callable[[Document], None]:
    return lambda document: at(document, *keys).remove(value)


def rename(*keys: Any, to: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        holder = at(document, *keys[:-1])
        holder[to] = holder.pop(keys[-1])

    return change


def require_field(document: Document) -> None:
    at(document, *BODY, "properties")["device"] = {"type": "string"}
    at(document, *BODY, "required").append("device")


BROKEN = {
    "a path": (drop("paths", "/model"), "GET /model: the path is gone"),
    "a method": (rename(*PREDICT, to="put"), "POST /predict: the method is gone"),
    "a name of an operation": (put(*PREDICT, "operationId", value="classify"), "operationId was predict"),
    "a login": (put(*PREDICT, "security", value=[{"token": []}]), "security was None"),
    "a status": (drop(*PREDICT, "responses", "429"), "the status 429 is gone"),
    "another success": (rename(*PREDICT, "responses", "200", to="201"), "answers 201, which is new"),
    "a type of answers": (rename(*PREDICT, "responses", "200", "content", "application/json", to="text/x"), "is gone"),
    "a field of the answer": (drop(*ANSWER, "properties", "fallback"), "200.fallback: the field is gone"),
    "a field within the answer": (drop(*PREDICTION, "confidence"), "predictions[].confidence: the field is gone"),
    "a field that may be absent": (remove(*ANSWER, "required", value="warnings"), "200.warnings: required beside"),
    "a field of another type": (put(*PREDICTION, "confidence", "type", value="string"), "type number beside string"),
    "a field with larger values": (
        put(*PREDICTION, "confidence", "maximum", value=100),
        "maximum is 1.00001 beside 100",
    ),
    "an unknown activity": (append(*PREDICTION, "activity", "enum", value="SWIM"), "SWIM is none of"),
    "a content type": (rename(*RAW, "requestBody", "content", "application/octet-stream", to="a/b"), "is not accepted"),
    "a new required field": (require_field, "body.device: required beside optional"),
    "a field that was optional": (append(*BODY, "required", value="rate_hz"), "body.rate_hz: required beside optional"),
    "a field that is refused": (drop(*BODY, "properties", "session"), "body.session: no such field"),
    "fewer windows": (put(*WINDOWS, "maxItems", value=255), "maxItems is 255 beside 256"),
    "other windows": (put(*WINDOWS, "items", "minItems", value=201), "minItems is 201 beside 200"),
    "smaller values": (
        put(*WINDOWS, "items", "items", "prefixItems", 0, "maximum", value=1),
        "windows[][][0]: maximum is 1",
    ),
    "a narrower type": (put(*BODY, "properties", "rate_hz", "type", value="integer"), "type integer beside number"),
    "another pattern": (put(*BODY, "properties", "subject", "pattern", value="^s[0-9]+$"), "subject: pattern is ^s"),
    "an activity": (
        lambda one: [form["properties"]["activity"]["enum"].pop() for form in at(one, *FEEDBACK)],
        "fits none",
    ),
    "a form of a request": (lambda one: at(one, *FEEDBACK).pop(), "FeedbackByInterval fits none"),
    "another unit": (put(*WINDOWS, "x-units", value=["g"] * 3 + ["rad/s"] * 3), "x-units is g, g, g"),
    "another order": (put(*WINDOWS, "x-channels", value=["gyro_x"]), "x-channels is gyro_x"),
    "a parameter": (lambda one: at(one, *RAW, "parameters").pop(0), "query parameter shape: is gone"),
    "a required parameter": (put(*RAW, "parameters", 0, "required", value=True), "parameter shape: is required"),
    "a new required parameter": (
        append(*RAW, "parameters", value={"name": "unit", "in": "query", "required": True}),
        "query parameter unit: is new, and required",
    ),
    "a kind of rule not known here": (put(*WINDOWS, "uniqueItems", value=True), "uniqueItems is True beside None"),
}

UNBROKEN = {
    "another path": put("paths", "/new", value={"get": {"responses": {}}}),
    "another field of the answer": put(*ANSWER, "properties", "seconds", value={"type": "number"}),
    "another optional field": put(*BODY, "properties", "device", value={"type": "string"}),
    "another optional parameter": append(*RAW, "parameters", value={"name": "unit", "in": "query"}),
    "another content type": put(*PREDICT, "requestBody", "content", "application/cbor", value={"schema": {}}),
    "another refusal": put(*PREDICT, "responses", "418", value={"description": "A teapot"}),
    "more windows": put(*WINDOWS, "maxItems", value=512),
    "any number of windows": drop(*WINDOWS, "maxItems"),
    "larger values": put(*WINDOWS, "items", "items", "prefixItems", 0, "maximum", value=1e6),
    "no pattern": drop(*BODY, "properties", "subject", "pattern"),
    "a wider type": put(*BODY, "properties", "rate_hz", "type", value=["number", "string"]),
    "smaller answers": put(*PREDICTION, "confidence", "maximum", value=0.5),
    "an answer that is always there": put(*PREDICTION, "confidence", "type", value="integer"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_break_is_found(documents: dict[str, Document], kind: str) -> None:
    change, words = BROKEN[kind]
    changed = copy.deepcopy(documents["online"])
    change(changed)
    found = breaks(documents["online"], changed)
    assert any(words in reason for reason in found), found
    assert all(reason.startswith(("GET /", "POST /")) for reason in found)


@pytest.mark.parametrize("kind", UNBROKEN)
def test_what_clients_do_not_notice_is_no_break(documents: dict[str, Document], kind: str) -> None:
    changed = copy.deepcopy(documents["online"])
    UNBROKEN[kind](changed)
    assert changed != documents["online"]
    assert breaks(documents["online"], changed) == []


def test_the_batch_service_has_a_contract_too(documents: dict[str, Document]) -> None:
    before = documents["batch"]
    assert {"/score", "/score/table"} <= before["paths"].keys()
    changed = copy.deepcopy(before)
    at(changed, "components", "schemas", "TableRequest", "required").append("date")
    inline = at(changed, "paths", "/score/table", "post", "requestBody", "content", "application/json", "schema")
    inline.setdefault("required", []).append("date")
    assert any("date: required beside optional" in reason for reason in breaks(before, changed))
    changed = copy.deepcopy(before)
    at(changed, *UPLOAD, "properties")["rows"] = at(changed, *UPLOAD, "properties").pop("samples")
    assert any("body.samples: no such field" in reason for reason in breaks(before, changed))


def test_units_are_said_in_a_way_that_is_compared(documents: dict[str, Document]) -> None:
    windows = at(documents["online"], *WINDOWS)
    assert windows["x-units"] == ["m/s^2"] * 3 + ["rad/s"] * 3
    assert (windows["x-channels"][0], windows["x-rate-hz"]) == ("accel_x", 50.0)


def test_words_and_examples_are_not_part_of_it(documents: dict[str, Document]) -> None:
    text = json.dumps(documents)
    assert '"description":' not in text.replace('"description": {', "")
    assert '"examples"' not in text
    # A field may be called like a word.
    named = {"paths": {}, "components": {"schemas": {"A": {"properties": {"description": {"type": "string"}}}}}}
    assert essence(named)["components"]["schemas"]["A"]["properties"] == {"description": {"type": "string"}}


@pytest.mark.parametrize(
    ("before", "now", "announced"),
    [
        ("1.4.2", "2.0.0", True),
        ("1.4.2", "1.5.0", False),
        ("0.1.0", "0.2.0", True),
        ("0.1.0", "0.1.1", False),
        ("0.9.0", "1.0.0", True),
        ("2.0.0", "1.0.0", False),
        ("1.4.2", "1.4.2", False),
    ],
)
def test_which_versions_announce_breaks(before: str, now: str, announced: bool) -> None:
    assert contract.announces_breaks(Version(before), Version(now)) is announced
    assert contract.announces_breaks(Version(before), contract.next_version(Version(before)))


def write_version(project: Path, version: str) -> None:
    (project / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "{version}"\n')


def test_a_new_project_has_no_clients_to_break(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_version(project, "0.1.0")
    assert contract.main([]) == 0
    assert "online: no earlier release" in capsys.readouterr().out
    assert not (project / "delivery").exists()
    assert contract.main(["--release"]) == 0
    assert {path.name for path in (project / "delivery" / "contracts").iterdir()} == {"online.json", "batch.json"}
    assert contract.main([]) == 0
    assert "online: 0.1.0 serves the clients of 0.1.0." in capsys.readouterr().out


def test_a_break_passes_only_with_a_version_that_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contract, "SERVICES", {"online": contract.online})
    write_version(project, "1.4.0")
    assert contract.main(["--release"]) == 0
    recorded = (project / "delivery" / "contracts" / "online.json").read_bytes()
    settings = project / "har.toml"
    # Longer windows: requests of old clients are refused.
    settings.write_text(settings.read_text().replace("length_s = 4.0", "length_s = 5.0"))
    capsys.readouterr()
    assert contract.main([]) == 1
    said = capsys.readouterr().out
    assert "POST /predict, body.windows[]: minItems is 250 beside 200" in said
    assert "raise the version in pyproject.toml to 2.0.0" in said
    assert contract.main(["--release"]) == 1
    assert (project / "delivery" / "contracts" / "online.json").read_bytes() == recorded
    write_version(project, "2.0.0")
    assert contract.main([]) == 0
    assert "which version 2.0.0 announces" in capsys.readouterr().out
    assert contract.main(["--release"]) == 0
    assert contract.main([]) == 0


@pytest.mark.parametrize("content", ["", "{}", '{"version": "1.0", "document": {"paths": {}}}', '{"version": "x"}'])
def test_a_record_that_cannot_be_read_is_no_missing_one(
    project: Path, content: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contract, "SERVICES", {"online": contract.online})
    write_version(project, "1.0.0")
    path = project / "delivery" / "contracts" / "online.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert contract.main([]) == 2
    assert f"{path}: expected the API of a release" in capsys.readouterr().err


def test_a_project_without_a_version_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert contract.main([]) == 2
    assert "pyproject.toml, project.version: expected a version" in capsys.readouterr().err
