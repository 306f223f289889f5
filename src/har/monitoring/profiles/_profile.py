"""Arrays in, a whylogs profile out: what the model saw in some windows, small enough to keep, made to be merged.

whylogs profiles data frames value by value; here whole arrays become the sketches of its columns, see `_sketch`, which
is a hundred times faster, and any reader of whylogs reads the result.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
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
"""Prefix of the columns that count faults of the data, one value per recording."""
_ACTIVITY = "activity"
_NAMES = "har.names"
_WHERE = "profile"


class Profile:
    """Sketches of some windows' features, confidences and predicted activities; immutable.

    Attributes:
        names: numeric columns: the profiled features, then `confidence`, then `quality.…`.
    """

    def __init__(self, view: Any) -> None:
        self.names: tuple[str, ...] = tuple(json.loads(view.metadata[_NAMES]))
        self._made: Any = view
        self._columns: dict[str, Column] = {}
        self._counts: dict[str, int] = {}

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
        """Profile N windows.

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
        empty = _whylogs().kll_doubles_sketch(KLL_SIZE).serialize()
        # One copy, a row per column: they are sorted in place.
        columns = dict(zip(names, columns_of(np.array(features.T, order="C"), empty), strict=True))
        others: dict[str, NDArray[Any]] = {CONFIDENCE: confidence} | {
            f"{QUALITY}{name}": values for name, values in (quality or {}).items()
        }
        for name, values in others.items():
            (columns[name],) = columns_of(np.array(values)[None], empty)
        # whylogs' objects, a dozen milliseconds' worth, are made when somebody looks into it.
        profile = cls.__new__(cls)
        profile.names = tuple(columns)
        profile._made, profile._columns, profile._counts = None, columns, dict(activities)
        return profile

    @staticmethod
    def merge(profiles: Iterable[Profile]) -> Profile:
        """All their windows as one profile; columns that not all of them have are those of the ones that do.

        Raises:
            MonitoringError: there are none.
        """
        parts = list(profiles)
        if not parts:
            raise MonitoringError(
                where=_WHERE, expected="one profile at least", got="none", remedy="Score the days first: har score."
            )
        if len(parts) == 1:
            return parts[0]
        names = tuple(dict.fromkeys(name for part in parts for name in part.names))
        # whylogs merges into the first of two, metadata and all: it gets a copy.
        merged = functools.reduce(
            lambda one, other: one.merge(other), (part.view for part in parts[1:]), _copy(parts[0])
        )
        return Profile(_dataset(_whylogs(), merged.get_columns(), names))

    @property
    def view(self) -> Any:
        """The whylogs DatasetProfileView."""
        if self._made is None:
            logs = _whylogs()
            views = {name: _numeric(logs, column) for name, column in self._columns.items()}
            self._made = _dataset(logs, views | {_ACTIVITY: _counted(logs, self._counts)}, self.names)
        return self._made

    @property
    def windows(self) -> int:
        """How many windows were profiled."""
        return self._columns[CONFIDENCE].values if self._columns else self.count(CONFIDENCE)

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
        # The sketch counts what lies strictly below a split point.
        above = np.nextafter(np.asarray(at, np.float64), np.inf)
        points, back = np.unique(above, return_inverse=True)
        return np.asarray(sketch.get_cdf(points.tolist()))[:-1][back]

    def quantiles(self, name: str, q: Sequence[float]) -> NDArray[np.float64]:
        """The column's quantiles at `q` (0 … 1), float64 (len(q),); NaN without values."""
        sketch = self._distribution(name).kll.value
        if sketch.is_empty():
            return np.full(len(q), np.nan)
        return np.asarray(sketch.get_quantiles(list(q)), np.float64)

    def mean(self, name: str) -> float:
        """Mean of a column; 0 without values."""
        return float(self._distribution(name).avg)

    def deviation(self, name: str) -> float:
        """Standard deviation of a column; 0 with fewer than two values."""
        return float(self._distribution(name).stddev)

    def to_bytes(self) -> bytes:
        """whylogs' own serialisation: `DatasetProfileView.deserialize` reads it. The lake's table compresses it."""
        if not self._columns:
            content: bytes = self.view.serialize()
            return content
        logs = _whylogs()
        counted = _counted(logs, self._counts).to_protobuf().metric_components
        return profile_bytes(logs.proto, self._columns, {_ACTIVITY: counted}, {_NAMES: json.dumps(self.names)})

    @classmethod
    def from_bytes(cls, content: bytes, *, where: str) -> Profile:
        """Read what `to_bytes` wrote.

        Raises:
            MonitoringError: it did not write this.
        """
        logs = _whylogs()
        try:
            return cls(logs.DatasetProfileView.deserialize(content))
        except Exception as error:  # whylogs and protobuf raise whatever the broken bytes make them do
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

    The default's own patterns may fit nothing: a project with one axis has no correlations. Others would be typos.

    Raises:
        MonitoringError: a pattern that fits none of them, no feature at all, or more than `monitoring.max_features`.
    """
    idle = [pattern for pattern in settings.features if not any(fnmatchcase(name, pattern) for name in names)]
    if set(idle) - set(Monitoring().features) or len(idle) == len(settings.features):
        raise MonitoringError(
            where="har.toml, monitoring.features",
            expected="names or patterns of the model's features",
            got=f"{', '.join(map(repr, idle))}, which fits none of its {len(names)}",
            remedy=f"They are called like {', '.join(names[:: max(1, len(names) // 4)][:4])}.",
        )
    chosen = tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in settings.features))
    if len(chosen) > settings.max_features:
        raise MonitoringError(
            where="har.toml, monitoring.features",
            expected=f"at most {settings.max_features} features (monitoring.max_features)",
            got=str(len(chosen)),
            remedy="Choose fewer, such as only those of the axes or of the norms; each costs time and disk.",
        )
    return chosen


def require_whylogs() -> None:
    """Make sure, before long work, that profiles can be made at its end.

    Raises:
        MonitoringError: whylogs is not installed; says what to do.
    """
    _whylogs()


@functools.cache
def _whylogs() -> SimpleNamespace:
    """The names of whylogs that are used here; importing it takes a second, so it is done when first needed."""
    # Unless this is set before the import, it reports each use to its makers, from a thread.
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
        KllComponent=KllComponent,
        frequent_strings_sketch=frequent_strings_sketch,
        kll_doubles_sketch=kll_doubles_sketch,
        proto=proto,
        no_false_negatives=frequent_items_error_type.NO_FALSE_NEGATIVES,
    )


_LG_ITEMS = 7
"""log2 of the size of the table of activities, whylogs' own: counts of up to 96 activities are exact."""


_NO_TIME = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""The day stands beside the profile; without the clock, the same windows make the same bytes."""


def _numeric(logs: SimpleNamespace, column: Column) -> Any:
    metric = logs.DistributionMetric(
        kll=logs.KllComponent(logs.kll_doubles_sketch.deserialize(column.sketch)),
        mean=logs.FractionalComponent(column.mean),
        m2=logs.FractionalComponent(column.squares),
    )
    return logs.ColumnProfileView({"distribution": metric}, success_count=column.values)


def _counted(logs: SimpleNamespace, counts: Mapping[str, int]) -> Any:
    sketch = logs.frequent_strings_sketch(_LG_ITEMS)
    for item, count in counts.items():
        if count:
            sketch.update(item, count)
    metric = logs.FrequentItemsMetric(frequent_strings=logs.FrequentStringsComponent(sketch))
    return logs.ColumnProfileView({"frequent_items": metric}, success_count=sum(counts.values()))


def _dataset(logs: SimpleNamespace, views: dict[str, Any], names: tuple[str, ...]) -> Any:
    return logs.DatasetProfileView(
        columns=views, dataset_timestamp=_NO_TIME, creation_timestamp=_NO_TIME, metadata={_NAMES: json.dumps(names)}
    )


def _copy(profile: Profile) -> Any:
    return _dataset(_whylogs(), profile.view.get_columns(), profile.names)
