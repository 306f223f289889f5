"""Put the project into an overlay: its names, its images, its settings and the files that other parts share with it.

The manifests name images `online`, `batch`, `train`, and no project. `write` makes a kustomization on top of an
overlay, `build/kubernetes/STAGE`, which `kubectl apply --server-side -k` takes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from har.errors import SettingsError, closest, did_you_mean
from har.files import write_atomically
from har.settings import Settings
from infra.kubernetes.job import template

HERE = Path(__file__).parent
STAGES = ("staging", "production")
COMPONENTS = ("haproxy", "keda", "object-storage", "operator", "stream", "stream-keda")
"""What may be chosen. `haproxy` takes the place of the gateway, `operator` that of the project's own Prometheus.

`stream` answers devices, and `stream-keda`, which is chosen beside it, says how many consumers do.
"""

_COMPOSE = HERE.parent / "compose"
_RULES = HERE.parent / "observability" / "rules"
_PINNED = re.compile(r"\$\{STACK_(POSTGRES|PROMETHEUS|ALERTMANAGER|HAPROXY)_IMAGE:-([^}]+)\}")
_DATABASES = "databases.sh"
_TEMPLATE = "job-template.json"
BOXES = ("online", "batch", "train")


@dataclass(frozen=True)
class Order:
    """What to put in.

    Attributes:
        stage: the overlay.
        images: by box: online, batch, train; each `NAME:TAG`.
        blue: the image of the colour blue, if it differs from `online`, as after a release.
        green: the same of green.
        further: components besides those of the overlay.
        live: `infra.kubernetes.live.Live.patch`, if a cluster serves already.
    """

    stage: str
    images: Mapping[str, str]
    blue: str = ""
    green: str = ""
    further: Sequence[str] = ()
    live: Mapping[str, Any] = field(default_factory=dict)


def namespace(settings: Settings, stage: str) -> str:
    """The namespace of a stage."""
    return f"{settings.project.name}-{stage}".lower()


def write(settings: Settings, order: Order, folder: Path) -> Path:
    """Write the kustomization of a stage; what was in the folder before is replaced.

    Args:
        settings: the project's name, its registry, and `serving.hosts`, under which the gateway answers.
        order: what to put in.
        folder: where.

    Raises:
        SettingsError: there is no such stage or component, or an image is not given as NAME:TAG.
    """
    _known("stage", [order.stage], STAGES)
    _known("component", order.further, COMPONENTS)
    if "stream-keda" in order.further and "stream" not in order.further:
        raise SettingsError(
            where="component stream-keda",
            expected="the component stream, whose consumers it scales",
            got="none",
            remedy="Choose both: --component stream --component stream-keda.",
        )
    images = {**_pinned(), **order.images}
    for box in BOXES:
        if ":" not in images.get(box, "").rpartition("/")[2]:
            raise SettingsError(
                where=f"image {box}",
                expected="NAME:TAG",
                got=repr(images.get(box, "")),
                remedy=f"Build it (make images), or name it: --{box} NAME:TAG.",
            )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_atomically(folder / _DATABASES, (_COMPOSE / "postgres" / _DATABASES).read_text(encoding="utf-8"))
    job = template(images["train"], namespace(settings, order.stage))
    write_atomically(folder / _TEMPLATE, json.dumps(job, indent=1) + "\n")
    rules = sorted(_RULES.glob("*.yml"))
    for rule in rules:
        write_atomically(folder / rule.name, rule.read_text(encoding="utf-8"))
    resources = [_relative(HERE / "overlays" / order.stage, folder)]
    operated = "operator" in order.further
    gateway = ["gateway", *(["https"] if order.stage == "production" else [])]
    further = [*([] if "haproxy" in order.further else gateway), *([] if operated else ["prometheus"]), *order.further]
    if operated and rules:
        write_atomically(folder / "rules.yaml", yaml.safe_dump(_prometheus_rule(rules), sort_keys=False))
        resources.append("rules.yaml")
    maps: list[dict[str, Any]] = [
        {"name": "databases", "files": [_DATABASES]},
        {"name": "job-template", "files": [_TEMPLATE]},
        *([] if operated else [{"name": "rules", "files": [rule.name for rule in rules]}]),
    ]
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace(settings, order.stage),
        "resources": resources,
        "components": [_relative(HERE / "components" / name, folder) for name in further],
        "labels": [{"pairs": {"app.kubernetes.io/part-of": settings.project.name.lower()}}],
        "images": [_image(name, images[name]) for name in sorted(images)],
        "configMapGenerator": maps,
        "patches": [*_patches(settings, order)],
    }
    head = f"# Written by: python -m infra.kubernetes write {order.stage}\n"
    write_atomically(folder / "kustomization.yaml", head + yaml.safe_dump(content, sort_keys=False))
    return folder


def _patches(settings: Settings, order: Order) -> list[dict[str, Any]]:
    patches: list[dict[str, Any]] = []
    hosts = [host.partition(":")[0] for host in settings.serving.hosts]
    proxied = "haproxy" in order.further
    route: list[dict[str, Any]] = []
    if hosts and not proxied:
        route.append({"op": "add", "path": "/spec/hostnames", "value": hosts})
    if order.live and proxied:
        notes = {"op": "replace", "path": "/metadata/annotations", "value": order.live["annotations"]}
        patches.append(_patch("ConfigMap", "split", [notes]))
    elif order.live:
        route += [
            {"op": "replace", "path": "/metadata/annotations", "value": order.live["annotations"]},
            {"op": "replace", "path": "/spec/rules", "value": order.live["rules"]},
        ]
    if route:
        patches.append(_patch("HTTPRoute", "online", route))
    for colour, image in (("blue", order.blue), ("green", order.green)):
        changes: list[dict[str, Any]] = []
        if image:
            path = "/spec/template/spec/containers/0/image"
            changes.append({"op": "replace", "path": path, "value": image})
        if order.live:
            changes.append({"op": "add", "path": "/spec/replicas", "value": order.live["replicas"][colour]})
        if changes:
            patches.append(_patch("Deployment", f"online-{colour}", changes))
    return patches


def _patch(kind: str, name: str, changes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"target": {"kind": kind, "name": name}, "patch": json.dumps(changes)}


def _pinned() -> dict[str, str]:
    """The images of others, which stand in the compose file alone."""
    text = (_COMPOSE / "compose.yaml").read_text(encoding="utf-8")
    return {name.lower(): image for name, image in _PINNED.findall(text)}


def _image(name: str, image: str) -> dict[str, str]:
    bare, _, digest = image.partition("@")
    new, _, tag = bare.rpartition(":") if ":" in bare.rpartition("/")[2] else (bare, "", "")
    made = {"name": name, "newName": new}
    return {**made, "digest": digest} if digest else {**made, "newTag": tag}


def _prometheus_rule(rules: Sequence[Path]) -> dict[str, Any]:
    groups = [group for rule in rules for group in yaml.safe_load(rule.read_text(encoding="utf-8"))["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "project"},
        "spec": {"groups": groups},
    }


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def _known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise SettingsError(
                where=what,
                expected=f"one of {', '.join(known)}",
                got=repr(name),
                remedy=did_you_mean(name, known) if closest(name, known) else f"Choose a {what}.",
            )
