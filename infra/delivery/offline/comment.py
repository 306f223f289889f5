"""Put `build/delivery/difference.md` on the pull request that runs it; an earlier run's comment is replaced.

On GitHub the token is GITHUB_TOKEN, on GitLab COMMENT_TOKEN, a project access token that may write notes. Without one
(such as on a pull request from a fork), the step says where the file is and ends well: it is an artifact of the run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from har.console import console
from har.errors import ServerError, SettingsError
from har.settings import load_settings
from infra.delivery._step import RESULTS, run_step
from infra.delivery.offline.difference import DIFFERENCE, MARK

_TIMEOUT_S = 30.0
_PAGE = 100


@dataclass(frozen=True)
class Discussion:
    """Where the comments of a pull request are.

    Attributes:
        name: as messages call it.
        comments: the address that lists comments, and takes new ones.
        comment: the address of one comment, with `{id}`.
        update: the method that replaces a comment's text.
        headers: with the token.
    """

    name: str
    comments: str
    comment: str
    update: str
    headers: dict[str, str]


def discussion(environment: Mapping[str, str]) -> Discussion | None:
    """The pull request of the run in this environment; None: no token, or no pull request.

    Raises:
        SettingsError: a variable that the CI service sets is missing.
    """
    if token := environment.get("GITHUB_TOKEN"):
        number = _pull_request(environment.get("GITHUB_EVENT_PATH", ""))
        if number is None:
            return None
        base = f"{_needed(environment, 'GITHUB_API_URL')}/repos/{_needed(environment, 'GITHUB_REPOSITORY')}/issues"
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
        return Discussion(
            f"pull request {number}", f"{base}/{number}/comments", f"{base}/comments/{{id}}", "PATCH", headers
        )
    if (token := environment.get("COMMENT_TOKEN")) and (request := environment.get("CI_MERGE_REQUEST_IID")):
        project = f"{_needed(environment, 'CI_API_V4_URL')}/projects/{_needed(environment, 'CI_PROJECT_ID')}"
        notes = f"{project}/merge_requests/{request}/notes"
        return Discussion(f"merge request {request}", notes, f"{notes}/{{id}}", "PUT", {"PRIVATE-TOKEN": token})
    return None


def put(where: Discussion, text: str) -> str:
    """Write the comment, or replace that of an earlier run; returns `written` or `replaced`.

    Raises:
        ServerError: the service cannot be reached, or refuses.
    """
    try:
        with httpx.Client(headers=where.headers, timeout=_TIMEOUT_S) as client:
            known = _earlier(client, where)
            if known is None:
                client.post(where.comments, json={"body": text}).raise_for_status()
                return "written"
            client.request(where.update, where.comment.format(id=known), json={"body": text}).raise_for_status()
            return "replaced"
    except httpx.HTTPStatusError as error:
        raise ServerError(
            where=f"comment on {where.name}",
            expected="a token that may write comments",
            got=f"{error.response.status_code} from {error.request.url}",
            remedy="Give the job `pull-requests: write` (GitHub), or COMMENT_TOKEN the scope `api` (GitLab).",
        ) from error
    except httpx.HTTPError as error:
        raise ServerError(
            where=f"comment on {where.name}",
            problem=f"{where.comments} cannot be reached ({type(error).__name__})",
            remedy=f"Run the step again; the text is in {RESULTS / DIFFERENCE}.",
        ) from error


def _earlier(client: httpx.Client, where: Discussion) -> int | None:
    """The id of the comment that an earlier run wrote."""
    page = 1
    while True:
        answer = client.get(where.comments, params={"per_page": _PAGE, "page": page}).raise_for_status()
        comments: list[dict[str, Any]] = answer.json()
        for comment in comments:
            if str(comment["body"]).startswith(MARK):
                return int(comment["id"])
        if len(comments) < _PAGE:
            return None
        page += 1


def _pull_request(event: str) -> int | None:
    """The number of the pull request that the event file names."""
    if not event:
        return None
    content = json.loads(Path(event).read_text(encoding="utf-8"))
    number = content.get("pull_request", {}).get("number")
    return None if number is None else int(number)


def _needed(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise SettingsError(
            where=name,
            expected="its value, which the CI service sets",
            got="none",
            remedy="Run this step in a CI job of a pull request, or without a token.",
        )
    return environment[name]


def _main() -> int:
    path = load_settings().root / RESULTS / DIFFERENCE
    if not path.is_file():
        raise SettingsError(
            where=str(path),
            expected="the difference in Markdown",
            got="no file",
            remedy="Run `make metric-difference`.",
        )
    where = discussion(os.environ)
    if where is None:
        console.print(f"No token for comments, or no pull request: the difference is in {path}.", soft_wrap=True)
        return 0
    console.print(f"Comment on {where.name}: {put(where, path.read_text(encoding='utf-8'))}.", highlight=False)
    return 0


if __name__ == "__main__":
    run_step(_main)
