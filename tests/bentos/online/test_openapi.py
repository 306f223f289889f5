"""The API's document: valid, complete and true, and the service survives whatever schemathesis makes of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from serving_support import OCTETS, Service, movements

pytestmark = pytest.mark.stack

ROUTES = {
    "/predict": "post",
    "/predict/raw": "post",
    "/feedback": "post",
    "/samples": "post",
    "/subjects": "get",
    "/subjects/{name}": "get",
    "/subjects/{name}/live": "get",
    "/login": "post",
    "/logout": "post",
    "/model": "get",
    "/model/card": "get",
    "/livez": "get",
    "/readyz": "get",
    "/metrics": "get",
}

# A size that must fit a shape, and an end after a start, are beyond what a schema can say: there, and only there, a
# body that the schema allows may be refused. 413 is what schemathesis does not expect of itself.
CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = [400, 405, 413, 415, 422]

[[operations]]
include-path = "/predict/raw"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 422]

[[operations]]
include-path = "/feedback"
checks.positive_data_acceptance.expected-statuses = ["2xx", 422]

# Reading is tested by hand: nobody is in the store, and the answers are refusals.
[[operations]]
include-path-regex = "^/(subjects|login|logout)"
generation.max-examples = 3
checks.negative_data_rejection.expected-statuses = [400, 401, 404, 405, 422]

# Channels, units and samples have to fit each other and the project; a form without a schema has to be a message.
[[operations]]
include-path = "/samples"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 422]
"""


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return service.client.get("/docs.json").json()


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with the document's components beside it, for its references."""
    return {**schema, "components": document["components"]}


def test_is_valid_and_names_every_route(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()
    assert {(path, method) for path, operations in document["paths"].items() for method in operations} >= set(
        ROUTES.items()
    )


def test_the_models_own_words_are_in_it(document: dict[str, Any]) -> None:
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    windows = body["properties"]["windows"]
    assert (windows["items"]["minItems"], windows["items"]["maxItems"]) == (16, 16)
    assert windows["items"]["items"]["maxItems"] == 6
    assert windows["maxItems"] == 256
    assert "gyro_z rad/s" in windows["description"]
    feedback = str(document["paths"]["/feedback"])
    assert all(f"'{name}'" in feedback for name in ("SIT", "WALK", "RUN"))


@pytest.mark.parametrize("path", ["/predict", "/feedback", "/samples"])
def test_its_examples_are_accepted_and_answered_as_it_says(
    service: Service, document: dict[str, Any], path: str
) -> None:
    operation = document["paths"][path]["post"]
    media = operation["requestBody"]["content"]["application/json"]
    assert media["examples"]
    for example in media["examples"].values():
        jsonschema.validate(example["value"], resolved(document, media["schema"]))
        response = service.client.post(path, json=example["value"])
        assert response.is_success, response.text
        check_answer(document, operation, response)


def test_a_raw_request_is_answered_as_it_says(service: Service, document: dict[str, Any]) -> None:
    operation = document["paths"]["/predict/raw"]["post"]
    (shape,) = [one for one in operation["parameters"] if one["name"] == "shape"]
    query = {"shape": shape["example"]}
    response = service.client.post("/predict/raw", content=movements(1).tobytes(), params=query, headers=OCTETS)
    assert response.status_code == 200
    check_answer(document, operation, response)


def test_refusals_are_documented(service: Service, document: dict[str, Any]) -> None:
    operation = document["paths"]["/predict"]["post"]
    for body, status in (({"windows": []}, 422), ({"windows": movements(300).tolist()}, 413)):
        response = service.client.post("/predict", json=body)
        assert response.status_code == status
        check_answer(document, operation, response)
    assert {"400", "413", "415", "422", "429", "504"} <= operation["responses"].keys()


def check_answer(document: dict[str, Any], operation: dict[str, Any], response: httpx.Response) -> None:
    schema = operation["responses"][str(response.status_code)]["content"]["application/json"]["schema"]
    jsonschema.validate(response.json(), resolved(document, schema))


def test_schemathesis_finds_nothing(service: Service, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", "schemathesis.toml", "run", f"{service.url}/docs.json"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--checks", "all", "--generation-deterministic"),
            *("--max-examples", "25", "--continue-on-failure", "--no-color", "--wait-for-schema", "5"),
            # How fast names of all scripts are drawn is a matter of the machine, not of the service.
            *("--suppress-health-check", "too_slow"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    report = "\n".join(line[:300] for line in done.stdout.splitlines())
    assert done.returncode == 0, f"{report}\n{done.stderr[:2000]}"
    assert " 0 operations" not in report
    operations = sum(len(methods) for methods in service.client.get("/docs.json").json()["paths"].values())
    assert f"Tested: {operations}\n" in report
    assert re.search(r"(\d{3,}) generated, \1 passed", report)
    assert service.predict(movements(1))["fallback"] is False
