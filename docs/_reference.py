"""MkDocs hook: the reference pages, from settings, command line, prefect.yaml, OpenAPI document and docstrings."""

from __future__ import annotations

import ast
import re
import types
import typing
from pathlib import Path
from typing import Any

import typer.main
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.cli import get_docs_for_click

from bentos.online._openapi import describe_planned
from har.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "settings",
    "schema",
    "recordings",
    "recordings.layouts",
    "importing",
    "sample",
    "lake",
    "plausibility",
    "cutting",
    "windows",
    "dataset",
    "training",
    "inference",
    "predictions",
    "evaluation",
    "registry",
    "recipe",
    "snapshots",
    "experiment",
    "monitoring",
    "monitoring.profiles",
    "monitoring.drift",
    "monitoring.drift.scores",
    "monitoring.decisions",
    "pages",
    "log_lines",
    "logs",
    "journal",
    "project",
    "jobs",
    "jobs.ingest",
    "jobs.train",
    "jobs.evaluate",
    "jobs.tune",
    "jobs.score",
    "jobs.summarise",
    "jobs.collect",
    "jobs.snapshot",
    "jobs.monitor",
    "jobs.label",
    "jobs.package",
    "jobs.reproduce",
    "errors",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    pages = {
        "settings": settings_page(),
        "cli": cli_page(),
        "flows": flows_page(),
        "online": online_page(),
        "api": api_page(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def settings_page() -> str:
    """Every key of har.toml: its type and limits, its default, and its comment in har.toml."""
    comments = _comments((ROOT / "har.toml").read_text(encoding="utf-8"))
    parts = [
        "# Settings\n\nEvery key of `har.toml`. A variable `HAR_<SECTION>__<KEY>` overrides the file: "
        "`HAR_TRAINING__EPOCHS=20`, lists as JSON. An unknown key or an impossible value is refused by name."
    ]
    for name, field in Settings.model_fields.items():
        if name != "root":
            parts.append(_section(name, _models(field.annotation)[0], comments))
    return "\n\n".join(parts) + "\n"


def cli_page() -> str:
    """Every `har` command with its arguments and options."""
    from har_cli._app import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="har", title="Commands")
    return re.sub(r"^#(#+)", r"\1#", text, flags=re.MULTILINE).replace("<a", "&lt;a")


def flows_page() -> str:
    """Every deployment of prefect.yaml, with its flow's docstring, schedule, parameters and triggers."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    parts = [
        "# Flows and deployments\n\n`make up` deploys them; `prefect deployment run NAME` starts one by hand. Only one "
        "run of a deployment is active at a time, and every flow skips what is done already."
    ]
    for one in deployments:
        module, _, function = one["entrypoint"].rpartition(":")
        lines = [f"## {function}/{one['name']}", one["description"], f"`{one['entrypoint']}`"]
        lines += [
            f"- schedule `{schedule['slug']}`: `{schedule['cron']}` ({schedule['timezone']})"
            + ("" if schedule["active"] else ", off")
            for schedule in one.get("schedules", [])
        ]
        lines += [f"- starts on the event `{', '.join(on['expect'])}`" for on in one.get("triggers", [])]
        lines.append(f"```text\n{_docstring(ROOT / module, function)}\n```")
        parts.append("\n\n".join(lines))
    return "\n\n".join(parts) + "\n"


def online_page() -> str:
    """The routes of the online service with their fields, from the OpenAPI document of a model of this project."""
    document = describe_planned(load_settings(ROOT))
    parts = [
        "# Online service\n\n`GET /docs.json` has this as OpenAPI for the served model, with examples and limits. "
        "BentoML's clients, which read `/schema.json`, have `predict` and `feedback` as methods: see"
        " [Call the online service from Python](../how-to/operations.md#call-the-online-service-from-python)."
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(f"## {method.upper()} {path}\n\n{operation['summary']}.")
            rows = [
                f"| `{one['name']}` ({one['in']}) | {one['description']} |" for one in operation.get("parameters", [])
            ]
            content = operation.get("requestBody", {}).get("content", {})
            for schema in (media["schema"] for media in content.values()):
                for part in schema.get("oneOf", [schema]):
                    rows += [
                        f"| `{name}`{'' if name in part['required'] else ' (optional)'} | {field['description']} |"
                        for name, field in part.get("properties", {}).items()
                    ]
            parts += ["\n".join(["| field | meaning |", "|---|---|", *dict.fromkeys(rows)])] if rows else []
            statuses = [f"| {status} | {one['description']} |" for status, one in operation["responses"].items()]
            parts += ["\n".join(["| status | when |", "|---|---|", *statuses])] if len(statuses) > 1 else []
    parts.append("## Answers")
    for name, schema in document["components"]["schemas"].items():
        rows = [f"| `{field}` | {one.get('description', '')} |" for field, one in schema["properties"].items()]
        about = f"### {name}\n\n{schema['description']}"
        parts.append("\n".join([f"{about}\n", "| field | meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def api_page() -> str:
    """The public names of each package, from their docstrings."""
    head = "# Library\n\n`src/har` imports neither Prefect nor BentoML. Other code may import what is listed here."
    return "\n\n".join([head, *(f"::: har.{name}" for name in PACKAGES)]) + "\n"


def _section(name: str, model: type[BaseModel], comments: dict[str, str]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    nested = []
    for key, field in model.model_fields.items():
        below = _models(field.annotation)
        if len(below) == 1 and not _is_list(field.annotation):
            nested.append(_section(f"{name}.{key}", below[0], comments))
            continue
        rows.append(f"| `{key}` | {_type(field)} | {_default(field)} | {comments.get(f'{name}.{key}', '')} |")
    about = (model.__doc__ or "").strip()
    table = [f"## {name}", about] + (["\n".join(rows)] if len(rows) > 2 else [])
    return "\n\n".join([*table, *nested])


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (tuple, dict)


def _type(field: FieldInfo) -> str:
    limits = [
        f"{sign} {value:g}"
        for sign, name in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le"))
        for part in field.metadata
        if (value := getattr(part, name, None)) is not None
    ]
    return ", ".join([_name(field.annotation), *limits])


def _name(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        return f"list of {_name(parts[0])}"
    if origin is dict:
        return f"by name, {_name(parts[1])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("nothing" if part is type(None) else _name(part) for part in parts)
    if origin is typing.Annotated:
        return _name(parts[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"table of {', '.join(f'`{key}`' for key in annotation.model_fields)}"
    return {"str": "text", "float": "number", "int": "whole number", "bool": "true or false", "Path": "path"}[
        annotation.__name__
    ]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be set"
    if field.default is None:
        return "none"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{value}`" if value != "" else "empty"


def _comments(text: str) -> dict[str, str]:
    """The comment after each key of har.toml; one that begins with an ellipsis continues the comment before it."""
    found: dict[str, str] = {}
    section, last = "", ""
    for line in text.splitlines():
        if header := re.match(r"\[([\w.]+)\]", line):
            section = header[1]
        elif match := re.match(r"(?:# )?(\w+) = .*?(?:\s+# (.+))?$", line):
            comment = match[2] or ""
            if comment.startswith("… "):
                comment = f"{last} {comment}"
            found[f"{section}.{match[1]}"] = last = comment.replace("|", "\\|")
    return found


def _docstring(path: Path, name: str) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    function = next(one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == name)
    return ast.get_docstring(function) or ""
