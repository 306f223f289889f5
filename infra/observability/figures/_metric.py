"""A figure as Prometheus takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily

Gauge = GaugeMetricFamily


def gauge(
    name: str,
    text: str,
    values: float | Mapping[str, float] | Mapping[tuple[str, ...], float] | None,
    *,
    labels: Iterable[str] = (),
) -> Gauge:
    """A gauge `har_<name>`.

    Args:
        name: without the prefix.
        text: what it is.
        values: the value, None for none; or with one label a value by its text, with several by their texts.
        labels: their names.
    """
    names = tuple(labels)
    made = GaugeMetricFamily(f"har_{name}", text, labels=names)
    if isinstance(values, Mapping):
        for found, value in values.items():
            made.add_metric((found,) if isinstance(found, str) else found, value)
    elif values is not None:
        made.add_metric((), values)
    return made
