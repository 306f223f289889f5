"""Copy one day of a local table to other dates by its log alone: files are linked, with a commit per day.

Writing a thousand days through the table takes ten minutes. Times in the log's statistics move with the date; those in
the files do not, so only days whose content nobody reads are copied.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from collections.abc import Sequence
from typing import Any

import polars as pl
from deltalake import DeltaTable

from har.lake import Table


def copy_day(table: Table, source: dt.date, dates: Sequence[dt.date]) -> None:
    """Let the table have the source day's files under these dates, too."""
    log = table.path / "_delta_log"
    delta = DeltaTable(str(table.path))
    known = set(pl.DataFrame(delta.get_add_actions(flatten=True))["path"])
    lines = [line for path in sorted(log.glob("*.json")) for line in path.read_text().splitlines()]
    adds = [json.loads(line)["add"] for line in lines if line.startswith('{"add"') and f"date={source}/" in line]
    real = [add for add in adds if add["path"] in known]
    sums = table.path.parent / f".{table.name}.sums"
    crc = {name: total for total, name in (line.split(" ", 1) for line in sums.read_text().splitlines())}
    for version, date in enumerate(dates, start=delta.version() + 1):
        actions: list[dict[str, Any]] = [
            {"commitInfo": {"timestamp": real[0]["modificationTime"], "operation": "WRITE"}}
        ]
        noted = []
        for add in real:
            folder, _, name = add["path"].replace(str(source), str(date)).rpartition("/")
            path = f"{folder}/{uuid.uuid4()}{name[-len('-c000.snappy.parquet') :]}"
            (table.path / folder).mkdir(parents=True, exist_ok=True)
            os.link(table.path / add["path"], table.path / path)
            values = json.loads(json.dumps(add).replace(str(source), str(date)))
            actions.append({"add": {**values, "path": path}})
            noted.append(f"{crc[add['path']]} {path}\n")
        (log / f"{version:020}.json").write_text("\n".join(map(json.dumps, actions)) + "\n")
        with sums.open("a") as stream:
            stream.writelines(noted)
    DeltaTable(str(table.path)).create_checkpoint()
