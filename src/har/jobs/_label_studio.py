"""Label Studio's JSON: write tasks of time series with what people and the model said, read regions as labels.

The format is that of Label Studio's documentation: tasks with `data`, `annotations` and `predictions`, regions of the
type `timeserieslabels` (labelstud.io/guide/task_format, labelstud.io/tags/timeserieslabels). Times are milliseconds
since 1970, which Label Studio shows as dates. Both of its exports can be read, JSON and JSON-MIN.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import orjson
import polars as pl

from har.errors import LabelError, did_you_mean
from har.jobs._label_table import TABLE, Fault, refuse
from har.labelling import UNUSABLE
from har.settings import Settings

CONTROL, OBJECT = "label", "ts"
"""Names of the tags in the labelling configuration."""
_KIND = "timeserieslabels"
_EARLIEST_MS, _LATEST_MS = 315_532_800_000, 4_102_444_800_000
"""1980 and 2100: what lies outside is in another unit."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SHOWN = 60


def configuration(settings: Settings) -> str:
    """The labelling configuration of a Label Studio project that takes these tasks, as XML."""
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in (*settings.activities.all, UNUSABLE))
    channels = "".join(
        f'    <Channel column={quoteattr(name)} units={quoteattr(unit)} displayFormat=",.2f"/>\n'
        for name, unit in zip(settings.sensors.channels, settings.sensors.units, strict=True)
    )
    return (
        "<View>\n"
        '  <Header value="$question"/>\n'
        f'  <TimeSeriesLabels name="{CONTROL}" toName="{OBJECT}">\n{labels}  </TimeSeriesLabels>\n'
        f'  <TimeSeries name="{OBJECT}" value="${OBJECT}" valueType="json" timeColumn="time" '
        f'timeDisplayFormat="%H:%M:%S.%L">\n{channels}  </TimeSeries>\n'
        "</View>\n"
    )


def region(name: str, start_us: int, end_us: int, activity: str, labeller: str = "") -> dict[str, Any]:
    """A labelled range, in µs since 1970; Label Studio shows the labeller as the region's note."""
    found: dict[str, Any] = {
        "id": name,
        "from_name": CONTROL,
        "to_name": OBJECT,
        "type": _KIND,
        "value": {"start": start_us / 1000, "end": end_us / 1000, "instant": False, _KIND: [activity]},
    }
    return {**found, "meta": {"text": [f"labeller: {labeller}"]}} if labeller else found


def read_label_studio(path: Path, settings: Settings) -> pl.DataFrame:
    """Read the labelled ranges of an export; cancelled annotations, predictions and unusable ranges are skipped.

    Args:
        path: a JSON or JSON-MIN export of tasks that `har labels` wrote, or of others whose data name a `subject`.
        settings: the activities.

    Returns:
        The columns of `TABLE`; `line` is the number of the task in the file.

    Raises:
        LabelError: the file is no such export; or a task names no subject, a range or its times make no sense, an
            activity is unknown, or people disagree about a task.
    """
    faults: list[Fault] = []
    labels: list[tuple[object, ...]] = []
    for number, task in enumerate(_tasks(path), start=1):
        found = _of_task(number, task, settings)
        labels += [row for row in found if not isinstance(row, Fault)]
        faults += [row for row in found if isinstance(row, Fault)]
    refuse(faults, path)
    return pl.DataFrame(labels, TABLE, orient="row")


def _tasks(path: Path) -> list[Mapping[str, Any]]:
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        got = error.strerror or type(error).__name__
    except orjson.JSONDecodeError as error:
        got = f"no JSON ({error})"
    else:
        if isinstance(content, list) and all(isinstance(task, dict) for task in content):
            return content
        got = f"{type(content).__name__} at the top"
    raise LabelError(
        where=str(path),
        expected="a list of tasks, as Label Studio's JSON export is",
        got=got,
        remedy="Export the project from Label Studio as JSON or JSON-MIN. No label was imported from the file.",
    )


def _of_task(number: int, task: Mapping[str, Any], settings: Settings) -> list[tuple[object, ...] | Fault]:
    minimal = "annotations" not in task and "data" not in task
    data = task if minimal else task.get("data")
    subject = data.get("subject") if isinstance(data, dict) else None
    found: list[tuple[object, ...] | Fault] = []
    for value in _minimal_ranges(task) if minimal else _ranges(task):
        if isinstance(value, Mapping) and value.get(_KIND) == [UNUSABLE]:
            continue
        label = _label(number, subject, value, settings)
        if isinstance(label, Fault) or label not in found:
            found.append(label)
    labels = [row for row in found if not isinstance(row, Fault)]
    return [*found, *_disagreement(number, labels)]


def _ranges(task: Mapping[str, Any]) -> Iterator[object]:
    annotations = task.get("annotations", [])
    for annotation in annotations if isinstance(annotations, list) else [annotations]:
        if not isinstance(annotation, Mapping) or not isinstance(annotation.get("result"), list):
            yield annotation
        elif not annotation.get("was_cancelled"):
            for one in annotation["result"]:
                if not isinstance(one, Mapping) or one.get("type") == _KIND:
                    yield one.get("value") if isinstance(one, Mapping) else one


def _minimal_ranges(task: Mapping[str, Any]) -> Iterator[object]:
    for value in task.values():
        if isinstance(value, list):
            yield from (one for one in value if isinstance(one, Mapping) and _KIND in one)


def _label(number: int, subject: object, value: object, settings: Settings) -> tuple[object, ...] | Fault:
    if not isinstance(subject, str) or not subject.strip():
        return Fault(
            number,
            "data.subject",
            expected="whose movement it is",
            got=_short(subject),
            remedy="Label tasks that `har labels --out FILE.json` wrote, or add the subject to the tasks' data.",
        )
    if not isinstance(value, Mapping) or not isinstance(value.get(_KIND), list) or len(value[_KIND]) != 1:
        return Fault(
            number,
            "annotations",
            expected=f"ranges with one of the labels, in the key {_KIND}",
            got=_short(value),
            remedy="Give each range one label.",
        )
    start, end = (_time(number, name, value.get(name)) for name in ("start", "end"))
    if isinstance(start, Fault):
        return start
    if isinstance(end, Fault):
        return end
    if end <= start:
        return Fault(number, "end", f"a time after the start, {start}", str(end), "Draw a range, not an instant.")
    activity, activities = value[_KIND][0], settings.activities.all
    if activity not in activities:
        return Fault(
            number,
            "activity",
            expected=f"one of {', '.join(activities)}",
            got=_short(activity),
            remedy=did_you_mean(str(activity), activities) or "Write it as har.toml does.",
        )
    return (number, unicodedata.normalize("NFC", subject).strip(), start, end, activity)


def _time(number: int, name: str, value: object) -> dt.datetime | Fault:
    if isinstance(value, int | float) and _EARLIEST_MS <= value < _LATEST_MS:
        return _EPOCH + dt.timedelta(microseconds=round(1000 * value))
    return Fault(
        number,
        name,
        expected="milliseconds since 1970",
        got=_short(value),
        remedy="Label tasks that `har labels --out FILE.json` wrote, with the configuration beside them.",
    )


def _disagreement(number: int, labels: Sequence[tuple[Any, ...]]) -> list[Fault]:
    for index, (_, _, start, end, activity) in enumerate(labels):
        for _, _, other_start, other_end, other in labels[index + 1 :]:
            if other != activity and start < other_end and other_start < end:
                return [
                    Fault(
                        number,
                        "annotations",
                        expected="one activity at a time",
                        got=f"{activity} and {other}, both at {max(start, other_start):%Y-%m-%d %H:%M:%S} UTC",
                        remedy="Decide in Label Studio: delete or skip one of the annotations, then export again.",
                    )
                ]
    return []


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
