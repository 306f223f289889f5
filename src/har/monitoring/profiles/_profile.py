"""Profile: a whylogs profile of some windows, made from whole arrays and small enough to store for every day.

whylogs profiles data frames value by value. `Profile.of` makes the sketches of whole columns at once (see `_sketch`);
any whylogs reader can open the result.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from har.errors import MonitoringError
from har.monitoring.profiles._sketch import KLL_SIZE, Column, columns_of, profile_bytes
from har.settings import Monitoring

CONFIDENCE = "confidence"
QUALITY = "quality."
"""Prefix of the columns that count data faults, one value per recording."""
_ACTIVITY = "activity"
_NAMES = "har.names"
_WHERE = "profile"


class Profile:
    """Sketches of some windows' features, confidences and predicted activities; immutable.

    Attributes:
        names: numeric columns: the profiled features, then `confidence`, then `quality.…`.
        windows: how many windows were profiled.

    Args:
        content: a whylogs profile as bytes.
        names: its numeric columns, in the model's order.
        windows: how many windows are in it.
        make_view: gives the content as a DatasetProfileView; whylogs' parser takes 25 ms.
    """

    def __init__(self, content: bytes, names: Sequence[str], windows: int, make_view: Callable[[], Any]) -> None:
        self.names = tuple(names)
        self.windows = windows
        self._content = content
        self._make_view = make_view

    @classmethod
    def of(
        cls,
        features: NDArray[np.float32],
        names: Sequence[str],
        *,
        confidence: NDArray[np.float32],
        activities: Mapping[str, int],
        quality: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> Profile:
        """Profile N windows; the same windows give the same bytes, in whatever order.

        Args:
            features: float32 (N, F), the features that are profiled; values that are not finite are left out.
            names: F names.
            confidence: float32 (N,), 0 … 1.
            activities: windows per predicted activity.
            quality: per counter, float64, one value per recording.

        Raises:
            MonitoringError: shapes that do not fit, or whylogs is not installed.
        """
        if features.shape != (len(confidence), len(names)):
            raise MonitoringError(
                where=_WHERE,
                expected=f"features ({len(confidence)}, {len(names)}): a row per confidence, a column per name",
                got=str(features.shape),
                remedy="Take features, names and confidences from the same call of the model.",
            )
        logs = _whylogs()
        empty = logs.kll_doubles_sketch(KLL_SIZE).serialize()
        # One copy, a row per column: the rows are sorted in place.
        columns = dict(zip(names, columns_of(np.array(features.T, order="C"), empty), strict=True))
        others: dict[str, NDArray[Any]] = {CONFIDENCE: confidence} | {
            f"{QUALITY}{name}": values for name, values in (quality or {}).items()
        }
        alike: dict[tuple[int, Any], dict[str, NDArray[Any]]] = {}
        for name, values in others.items():
            alike.setdefault((len(values), values.dtype), {})[name] = values
        for group in alike.values():
            columns |= zip(group, columns_of(np.array(list(group.values())), empty), strict=True)
        columns = {name: columns[name] for name in (*names, *others)}
        answers = _activity_column(logs, activities)
        counts = {_ACTIVITY: answers.to_protobuf().metric_components}
        metadata = {_NAMES: json.dumps(tuple(columns))}
        content = profile_bytes(logs.proto, columns, counts, metadata)
        make_view = functools.partial(_view, logs, columns, answers, metadata)
        return cls(content, tuple(columns), columns[CONFIDENCE].values, make_view)

    @functools.cached_property
    def view(self) -> Any:
        """The whylogs DatasetProfileView, made when it is first needed."""
        return self._make_view()

    @property
    def activities(self) -> dict[str, int]:
        """Windows per predicted activity, most frequent first."""
        sketch = self.view.get_column(_ACTIVITY).get_metric("frequent_items").frequent_strings.value
        return {
            item: int(estimate) for item, estimate, _, _ in sketch.get_frequent_items(_whylogs().no_false_negatives)
        }

    def count(self, name: str) -> int:
        """Finite values of a column."""
        return int(self._distribution(name).kll.value.get_n())

    def cdf(self, name: str, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of values less than or equal to each of `at` (increasing), float64 (len(at),); NaN without values."""
        sketch = self._distribution(name).kll.value
        if sketch.is_empty():
            return np.full(len(at), np.nan)
        # The sketch counts values strictly below a split point.
        above = np.nextafter(np.asarray(at, np.float64), np.inf)
        new = np.concatenate([[True], above[1:] > above[:-1]])
        shares = np.asarray(sketch.get_cdf(above[new].tolist()), np.float64)[:-1]
        values: NDArray[np.float64] = shares[np.cumsum(new) - 1]
        return values

    def quantiles(self, name: str, q: Sequence[float]) -> NDArray[np.float64]:
        """Quantiles of the column at `q` (0 … 1), float64 (len(q),); NaN without values."""
        sketch = self._distribution(name).kll.value
        if sketch.is_empty():
            return np.full(len(q), np.nan)
        return np.asarray(sketch.get_quantiles(list(q)), np.float64)

    def mean(self, name: str) -> float:
        """Mean of a column; 0 without values."""
        return float(self._distribution(name).avg)

    def to_bytes(self) -> bytes:
        """whylogs' own serialisation: `DatasetProfileView.deserialize` reads it. The lake's table compresses it."""
        return self._content

    @classmethod
    def from_bytes(cls, content: bytes, *, where: str) -> Profile:
        """Read what `to_bytes` wrote.

        Raises:
            MonitoringError: it did not write this.
        """
        logs = _whylogs()
        try:
            view = logs.DatasetProfileView.deserialize(content)
            windows = int(view.get_column(CONFIDENCE).get_metric("distribution").kll.value.get_n())
            return cls(content, json.loads(view.metadata[_NAMES]), windows, lambda: view)
        except Exception as error:  # whylogs and protobuf raise whatever the damaged bytes make them raise
            raise MonitoringError(
                where=where,
                expected="a profile as this version writes it",
                got=f"{type(error).__name__}: {error}",
                remedy="Score the day again: har score --rescore.",
            ) from error

    def _distribution(self, name: str) -> Any:
        column = self.view.get_column(name)
        if column is None or name == _ACTIVITY:
            raise MonitoringError(
                where=_WHERE,
                expected=f"a numeric column {name!r}",
                got=f"{len(self.names)} others",
                remedy="Score the day again with this model: har score --rescore.",
            )
        return column.get_metric("distribution")


def chosen_features(names: Sequence[str], settings: Monitoring) -> tuple[str, ...]:
    """Which of the model's features are profiled, in the model's order.

    A default pattern may match nothing (a project with one axis has no correlations); any other pattern that matches
    nothing is refused as a typo.

    Raises:
        MonitoringError: a pattern that matches no feature, no feature at all, or more than `monitoring.max_features`.
    """
    unmatched = [pattern for pattern in settings.features if not any(fnmatchcase(name, pattern) for name in names)]
    if set(unmatched) - set(Monitoring().features) or len(unmatched) == len(settings.features):
        raise MonitoringError(
            where="har.toml, monitoring.features",
            expected="names or patterns of the model's features",
            got=f"{', '.join(map(repr, unmatched))}, which matches none of its {len(names)}",
            remedy=f"Its features have names such as {', '.join(names[:: max(1, len(names) // 4)][:4])}.",
        )
    chosen = tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in settings.features))
    if len(chosen) > settings.max_features:
        raise MonitoringError(
            where="har.toml, monitoring.features",
            expected=f"at most {settings.max_features} features (monitoring.max_features)",
            got=str(len(chosen)),
            remedy="Choose fewer, for example only those of the axes or of the norms: each costs time and disk.",
        )
    return chosen


def require_whylogs() -> None:
    """Check, before long work, that a profile can be made at its end.

    Raises:
        MonitoringError: whylogs is not installed.
    """
    _whylogs()


@functools.cache
def _whylogs() -> SimpleNamespace:
    """The parts of whylogs that are used here. Importing it takes a second, so it is imported when first needed."""
    # Without this, whylogs reports each use to its makers from a background thread.
    os.environ["WHYLOGS_NO_ANALYTICS"] = "1"
    try:
        from whylogs.core import proto
        from whylogs.core.metrics import DistributionMetric
        from whylogs.core.metrics.metric_components import FractionalComponent, FrequentStringsComponent, KllComponent
        from whylogs.core.metrics.metrics import FrequentItemsMetric
        from whylogs.core.view.column_profile_view import ColumnProfileView
        from whylogs.core.view.dataset_profile_view import DatasetProfileView
        from whylogs_sketching import frequent_items_error_type, frequent_strings_sketch, kll_doubles_sketch
    except ImportError as error:
        raise MonitoringError(
            where="monitoring",
            expected="the package whylogs",
            got=str(error),
            remedy="Install the extra `monitor`. There is no wheel for Apple Silicon: use Linux, or set "
            "monitoring.enabled = false in har.toml.",
        ) from error
    return SimpleNamespace(
        ColumnProfileView=ColumnProfileView,
        DatasetProfileView=DatasetProfileView,
        DistributionMetric=DistributionMetric,
        FractionalComponent=FractionalComponent,
        FrequentItemsMetric=FrequentItemsMetric,
        FrequentStringsComponent=FrequentStringsComponent,
        frequent_strings_sketch=frequent_strings_sketch,
        KllComponent=KllComponent,
        kll_doubles_sketch=kll_doubles_sketch,
        proto=proto,
        no_false_negatives=frequent_items_error_type.NO_FALSE_NEGATIVES,
    )


_LG_ITEMS = 7
"""log2 of the size of the table of activities, whylogs' own: counts of up to 96 activities are exact."""


def _activity_column(logs: SimpleNamespace, counts: Mapping[str, int]) -> Any:
    """The column of predicted activities as whylogs stores it."""
    sketch = logs.frequent_strings_sketch(_LG_ITEMS)
    for item, count in sorted(counts.items()):
        if count:
            sketch.update(item, count)
    metric = logs.FrequentItemsMetric(frequent_strings=logs.FrequentStringsComponent(sketch))
    return logs.ColumnProfileView({"frequent_items": metric}, success_count=sum(counts.values()))


def _view(logs: SimpleNamespace, columns: Mapping[str, Column], answers: Any, metadata: Mapping[str, str]) -> Any:
    """What whylogs would parse from `profile_bytes` of the same columns."""
    views = {_ACTIVITY: answers}
    for name, column in columns.items():
        metric = logs.DistributionMetric(
            kll=logs.KllComponent(logs.kll_doubles_sketch.deserialize(column.sketch)),
            mean=logs.FractionalComponent(column.mean),
            m2=logs.FractionalComponent(column.squares),
        )
        views[name] = logs.ColumnProfileView({"distribution": metric}, success_count=column.values)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return logs.DatasetProfileView(
        columns=views, dataset_timestamp=epoch, creation_timestamp=epoch, metadata=dict(metadata)
    )
