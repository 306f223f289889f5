"""What the manifests promise: nothing that Kubernetes does not know, no rights, no secrets, every part reachable."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from har.errors import SettingsError
from har.settings import Settings
from infra.kubernetes.__main__ import main
from infra.kubernetes.job import template
from infra.kubernetes.lint import kustomize, lint, validate
from infra.kubernetes.write import COMPONENTS, STAGES, Order, write

pytestmark = pytest.mark.stack
IMAGES = {box: f"registry.example.org/team/x-{box}:v1-aaaaaaaa" for box in ("online", "batch", "train")}

Thing = dict[str, Any]


def things(text: str, *kinds: str) -> list[Thing]:
    found = [thing for thing in yaml.load_all(text, Loader=yaml.CSafeLoader) if thing]
    return [thing for thing in found if not kinds or thing["kind"] in kinds]


def pods(text: str) -> dict[str, Thing]:
    """The pod templates, by kind/name."""
    found = {}
    for thing in things(text, "Deployment", "StatefulSet", "CronJob"):
        spec = thing["spec"]["jobTemplate"]["spec"] if thing["kind"] == "CronJob" else thing["spec"]
        found[f"{thing['kind']}/{thing['metadata']['name']}"] = spec["template"]
    return found


def test_every_overlay_and_component_fits_the_schemas(settings: Settings, tmp_path: Path) -> None:
    lint(settings, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} >= {*STAGES, *(f"production-{name}" for name in COMPONENTS)}


MISTAKES = {
    "livenessProbe:": ("livenessprobe:", r"Deployment/online-blue: .*'livenessprobe' was unexpected"),
    "readOnlyRootFilesystem: true": ("readOnlyRootFileSystem: true", r"'readOnlyRootFileSystem' was unexpected"),
    "weight: 10000": ("wieght: 10000", r"HTTPRoute/online: spec.rules.0.backendRefs.0: .*'wieght' was unexpected"),
    "maxReplicas: 2": ('maxReplicas: "2"', r"HorizontalPodAutoscaler/online-blue: spec.maxReplicas: '2' is not"),
    "podSelector: {}": ("podSelectors: {}", r"NetworkPolicy/nothing: spec: .*'podSelectors' was unexpected"),
    "kind: PodDisruptionBudget": ("kind: PodDisruptionBudgets", r"no schema of policy/v1 PodDisruptionBudgets"),
}
"""What is right; a typing error in it, and what is said of that."""


def test_a_typing_error_is_refused(rendered: dict[str, str], tmp_path: Path) -> None:
    files = []
    for number, (right, (wrong, _)) in enumerate(MISTAKES.items()):
        assert right in rendered["staging"]
        files.append(tmp_path / f"{number}.yaml")
        files[-1].write_text(rendered["staging"].replace(right, wrong))
    both = rendered["staging"].replace("replicas: 1", "replicas: one").replace("livenessProbe:", "livenessprobe:")
    (tmp_path / "both.yaml").write_text(both)
    with pytest.raises(SettingsError) as error:
        validate([*files, tmp_path / "both.yaml"])
    lines = str(error.value).splitlines()
    for number, (_, said) in enumerate(MISTAKES.values()):
        assert any(f"{number}.yaml" in line and re.search(said, line) for line in lines), said
    of_one = [line for line in lines if "both.yaml: Deployment/batch:" in line]
    assert len(of_one) == 2, "all breaches of an object are named, not the first alone"


def test_who_reads_tables_reaches_object_storage_and_nobody_else(settings: Settings, tmp_path: Path) -> None:
    order = Order("staging", IMAGES, further=("object-storage", "stream"))
    text = kustomize(write(settings, order, tmp_path / "out"))
    readers = {"worker", "exporter", "mlflow", "score", "stream"}
    volume = {"name": "aws", "secret": {"secretName": "aws", "optional": True, "defaultMode": 0o440}}
    mount = {"name": "aws", "mountPath": "/run/aws", "readOnly": True}

    def has_it(pod: Thing) -> bool:
        mounted = mount in pod["containers"][0]["volumeMounts"]
        assert mounted == (volume in pod.get("volumes", []))
        return mounted

    assert {name.partition("/")[2] for name, pod in pods(text).items() if has_it(pod["spec"])} == readers
    (project,) = [one for one in things(text, "ConfigMap") if one["metadata"]["name"] == "project"]
    assert project["data"]["AWS_SHARED_CREDENTIALS_FILE"] == "/run/aws/credentials"
    assert project["data"]["HAR_PATHS__JOURNAL"]
    (policy,) = [one for one in things(text, "NetworkPolicy") if one["metadata"]["name"] == "to-object-storage"]
    (selected,) = policy["spec"]["podSelector"]["matchExpressions"]
    assert {*selected["values"]} == {*readers, "flow"}
    job = template("x", "y")["job_configuration"]["job_manifest"]["spec"]["template"]
    assert has_it(job["spec"])
    assert job["metadata"]["labels"]["app.kubernetes.io/name"] == "flow"


@pytest.mark.parametrize("stage", ["staging", "production"])
def test_pods_have_no_rights(rendered: dict[str, str], stage: str) -> None:
    (namespace,) = things(rendered[stage], "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, pod in pods(rendered[stage]).items():
        spec = pod["spec"]
        assert spec["enableServiceLinks"] is False, name
        assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsNonRoot"]) == (1034, True), name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        wants_api = pod["metadata"]["labels"].get("har.access/api") == "true"
        assert spec["automountServiceAccountToken"] is wants_api, f"{name}: a token only for whom the API is open"
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert {*container["resources"]} == {"requests", "limits"}, name
            if not name.startswith("CronJob/"):
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= {*container}, name


def test_no_secret_is_in_a_manifest(rendered: dict[str, str]) -> None:
    for text in rendered.values():
        assert not things(text, "Secret")
        assert "secretKeyRef" not in text, "secrets are files, and in no variable"


def test_images_of_others_are_pinned_by_digest(rendered: dict[str, str]) -> None:
    images = {c["image"] for pod in pods(rendered["production"]).values() for c in pod["spec"]["containers"]}
    others = {image for image in images if "har-mlops-" not in image}
    names = {"docker.io/library/postgres", "docker.io/prom/prometheus", "docker.io/prom/alertmanager"}
    assert {image.partition("@")[0] for image in others} == names
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in others)


def test_whoever_calls_may_and_nobody_else(rendered: dict[str, str]) -> None:
    """The policies, as Kubernetes reads them: who reaches which pod on which port."""
    found = pods(rendered["production"])
    policies = things(rendered["production"], "NetworkPolicy")

    def may(caller: str, called: str, port: int | str) -> bool:
        source, target = (found[name]["metadata"]["labels"] for name in (caller, called))
        out = any(
            admits(rule.get("to", []), target) and port in [one["port"] for one in rule["ports"]]
            for policy in policies
            if "Egress" in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], source)
            for rule in policy["spec"].get("egress", [])
        )
        into = any(
            admits(rule.get("from", []), source) and port in [one["port"] for one in rule["ports"]]
            for policy in policies
            if "Ingress" in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], target)
            for rule in policy["spec"].get("ingress", [])
        )
        return out and into

    everyone = set(found)
    allowed = {(a, b) for a in everyone for b in everyone for port in ("http", "postgres") if may(a, b, port)}
    blue, green = "Deployment/online-blue", "Deployment/online-green"
    monitors = {"StatefulSet/prometheus", "Deployment/alerts"}
    servers = {f"Deployment/{name}" for name in ("prefect", "mlflow", "batch", "exporter")} | {"StatefulSet/prometheus"}
    expected = {(a, b) for a in (blue, green) for b in (blue, green)}
    expected |= {(a, "StatefulSet/postgres") for a in ("Deployment/prefect", "Deployment/mlflow")}
    callers = ("Deployment/worker", "Deployment/exporter", "CronJob/score", "StatefulSet/prometheus")
    expected |= {(a, b) for a in callers for b in servers}
    expected |= {(a, b) for a in ("StatefulSet/prometheus", "Deployment/worker") for b in (blue, green)}
    expected |= {("StatefulSet/prometheus", b) for b in monitors}
    assert allowed == expected
    (nothing,) = (one for one in policies if one["metadata"]["name"] == "nothing")
    assert nothing["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def selects(selector: Thing, labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    of = all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []))
    return wanted.items() <= labels.items() and of


def admits(peers: list[Thing], labels: dict[str, str]) -> bool:
    here = [peer for peer in peers if "namespaceSelector" not in peer and "podSelector" in peer]
    return any(selects(peer["podSelector"], labels) for peer in here)


def test_both_colours_can_serve(rendered: dict[str, str]) -> None:
    (route,) = things(rendered["production"], "HTTPRoute")
    services = {one["metadata"]["name"]: one["spec"] for one in things(rendered["production"], "Service")}
    found = pods(rendered["production"])
    for ref in route["spec"]["rules"][0]["backendRefs"]:
        service = services[ref["name"]]
        assert service["ports"][0]["port"] == ref["port"]
        others = [
            name for name, pod in found.items() if service["selector"].items() <= pod["metadata"]["labels"].items()
        ]
        assert others == [f"Deployment/{ref['name']}"], "a colour's Service has the pods of that colour alone"
    paths = {match["path"]["value"] for match in route["spec"]["rules"][0]["matches"]}
    assert "/predict" in paths
    assert "/metrics" not in paths
    claims = {one["metadata"]["name"] for one in things(rendered["production"], "PersistentVolumeClaim")}
    used = {
        v["persistentVolumeClaim"]["claimName"]
        for p in found.values()
        for v in p["spec"]["volumes"]
        if len(v) == 2 and "persistentVolumeClaim" in v
    }
    assert used == claims


def test_staging_has_one_replica_and_production_two(rendered: dict[str, str]) -> None:
    for stage, least in (("staging", 1), ("production", 2)):
        scalers = things(rendered[stage], "HorizontalPodAutoscaler")
        assert [one["spec"]["minReplicas"] for one in scalers] == [least, least]
    listeners = {stage: things(rendered[stage], "Gateway")[0]["spec"]["listeners"] for stage in STAGES}
    assert [one["protocol"] for one in listeners["staging"]] == ["HTTP"]
    assert [one["protocol"] for one in listeners["production"]] == ["HTTPS"]
    assert not things(rendered["keda"], "HorizontalPodAutoscaler")


def test_names_and_images_are_the_projects(settings: Settings, tmp_path: Path) -> None:
    project = settings.project.model_copy(update={"name": "Wrist-Lab"})
    serving = settings.serving.model_copy(update={"hosts": ("har.example.org:8443",)})
    mine = settings.model_copy(update={"project": project, "serving": serving})
    text = kustomize(write(mine, Order("production", IMAGES), tmp_path / "out"))
    assert {one["metadata"].get("namespace", "wrist-lab-production") for one in things(text)} == {
        "wrist-lab-production"
    }
    assert pods(text)["Deployment/online-blue"]["spec"]["containers"][0]["image"] == IMAGES["online"]
    (route,) = things(text, "HTTPRoute")
    assert route["spec"]["hostnames"] == ["har.example.org"]
    maps = {
        one["metadata"]["name"].rpartition("-")[0]: one["data"] for one in things(text, "ConfigMap") if "data" in one
    }
    assert "CREATE DATABASE" in maps["databases"]["databases.sh"]
    job = json.loads(maps["job-template" if "job-template" in maps else "job"]["job-template.json"])
    assert job["variables"]["properties"]["image"]["default"] == IMAGES["train"]


def test_a_mistake_is_refused_in_a_sentence(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["write", "stagging", "--to", str(tmp_path), *_images()]) == 2
    assert "stage: expected one of staging, production, but got 'stagging'. Did you mean" in capsys.readouterr().err
    with pytest.raises(SettingsError, match=r"image batch: expected NAME:TAG, but got 'x'.*--batch NAME:TAG"):
        write(settings, Order("staging", {**IMAGES, "batch": "x"}), tmp_path)
    with pytest.raises(SettingsError, match="component: expected one of haproxy, keda, object-storage, operator"):
        write(settings, Order("staging", IMAGES, further=["istio"]), tmp_path)


def _images() -> list[str]:
    return [word for box, image in IMAGES.items() for word in (f"--{box}", image)]


def test_a_flow_run_becomes_a_job_that_kubernetes_takes(tmp_path: Path) -> None:
    from prefect.utilities.templating import apply_values

    content = template("x-train:1", "x-staging")
    values = {name: one.get("default") for name, one in content["variables"]["properties"].items()}
    run = {
        "name": "score",
        "command": ["prefect", "flow-run", "execute"],
        "env": [{"name": "PREFECT_FLOW_RUN_ID", "value": "1"}],
        "labels": {"prefect.io/flow-run-id": "1"},
        "annotations": {},
    }
    manifest = apply_values(content["job_configuration"]["job_manifest"], {**values, **run})
    assert manifest["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    manifest["metadata"]["name"] = "score-1"
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(manifest))
    validate([file])


def test_prefects_own_worker_takes_the_job_template(tmp_path: Path) -> None:
    reason = "prefect-kubernetes is in the train image alone"
    worker = pytest.importorskip("prefect_kubernetes.worker", reason=reason)
    from prefect.client.schemas import FlowRun
    from prefect.utilities.templating import apply_values

    content = template("x-train:1", "x-staging")
    values = {name: one.get("default") for name, one in content["variables"]["properties"].items()}
    given = {name: value for name, value in {**values, "memory": "8Gi"}.items() if value is not None}
    made = worker.KubernetesWorkerJobConfiguration(**apply_values(content["job_configuration"], given))
    made.prepare_for_flow_run(FlowRun(flow_id=uuid.uuid4(), name="tidy-owl"))
    (container,) = made.job_manifest["spec"]["template"]["spec"]["containers"]
    assert (made.namespace, container["resources"]["limits"]["memory"]) == ("x-staging", "8Gi")
    assert container["command"][-1] == "infra.compose.inside.run"
    assert container["args"] == ["prefect", "flow-run", "execute"]
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump({**made.job_manifest, "metadata": {"name": "tidy-owl"}}))
    validate([file])


@pytest.mark.release
@pytest.mark.timeout(900)
def test_checkov_finds_nothing_that_is_not_explained() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([root / "infra/kubernetes/scan.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Failed checks: 0" in done.stdout
