"""Check files against the schemas that check-jsonschema brings; it must be importable: `.venv/tools/bin/python`.

    .venv/tools/bin/python infra/delivery/schemas.py vendor.dependabot .github/dependabot.yml -- vendor.compose-spec …

Each group is a schema and its files, divided by `--`; a group without files is skipped. All groups share one start,
which takes two seconds. Ends with 1 if a file breaks its schema; each breach is printed with file and place.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Sequence

TRANSFORMS = {"vendor.gitlab-ci": ["--data-transform", "gitlab-ci"]}


def check(groups: Sequence[Sequence[str]]) -> int:
    """Check each group's files; return 0, or 1 if a file breaks its schema."""
    filled = [group for group in groups if len(group) > 1]
    if not filled:
        return 0
    main = importlib.import_module("check_jsonschema").main
    status = 0
    for schema, *files in filled:
        try:
            main(["--builtin-schema", schema, *TRANSFORMS.get(schema, []), *files])
        except SystemExit as ended:
            status = max(status, 1 if ended.code else 0)
    return status


if __name__ == "__main__":
    words = itertools.groupby(sys.argv[1:], lambda word: word == "--")
    sys.exit(check([list(group) for divider, group in words if not divider]))
