"""MkDocs hook: the reference pages, written from the settings, the command line, prefect.yaml and the docstrings."""

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

from har.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "settings",
    "recordings",
    "recordings.layouts",
    "importing",
    "ingestion",
    "lake",
    "windows",
    "dataset",
    "training",
    "inference",
    "scoring",
    "evaluation",
    "registry",
    "experiment",
    "packaging",
    "journal",
    "collection",
    "labelling",
    "feedback",
    "monitoring",
    "monitoring.profiles",
    "monitoring.drift",
    "monitoring.drift.scores",
    "monitoring.decisions",
    "errors",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    pages = {"settings": settings_page(), "cli": cli_page(), "flows": flows_page(), "api": api_page()}
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def settings_page() -> str:
    """Every key of har.toml: its type and limits, its default, and what har.toml says about it."""
    said = _comments((ROOT / "har.toml").read_text(encoding="utf-8"))
    parts = [
        "# Settings\n\nEvery key of `har.toml`. A variable `HAR_<SECTION>__<KEY>` goes before the file: "
        "`HAR_TRAINING__EPOCHS=20`, lists as JSON. An unknown key or an impossible value is refused by name."
    ]
    for name, field in Settings.model_fields.items():
        if name != "root":
            parts.append(_section(name, _models(field.annotation)[0], said))
    return "\n\n".join(parts) + "\n"


def cli_page() -> str:
    """Every `har` command with its arguments and options."""
    from flows.cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="har", title="Commands")
    return re.sub(r"^#(#+)", r"\1#", text, flags=re.MULTILINE).replace("<a", "&lt;a")


def flows_page() -> str:
    """Every deployment of prefect.yaml, with its flow's docstring, schedule, parameters and triggers."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    parts = [
        "# Flows and deployments\n\n`make up` deploys them; `prefect deployment run NAME` starts one by hand. One run "
        "of a deployment at a time, and every flow finds what is done already and leaves it."
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


def api_page() -> str:
    """What each package offers to others, from its docstrings."""
    head = "# Library\n\n`src/har` knows neither Prefect nor BentoML; what is listed here may be imported from outside."
    return "\n\n".join([head, *(f"::: har.{name}" for name in PACKAGES)]) + "\n"


def _section(name: str, model: type[BaseModel], said: dict[str, str]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    nested = []
    for key, field in model.model_fields.items():
        below = _models(field.annotation)
        if len(below) == 1 and not _is_list(field.annotation):
            nested.append(_section(f"{name}.{key}", below[0], said))
            continue
        rows.append(f"| `{key}` | {_type(field)} | {_default(field)} | {said.get(f'{name}.{key}', '')} |")
    about = (model.__doc__ or "").strip()
    table = [f"## {name}", about] + (["\n".join(rows)] if len(rows) > 2 else [])
    return "\n\n".join([*table, *nested])


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is tuple


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
    """The comment behind each key of har.toml; one that begins with an ellipsis goes on where the last one ended."""
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
