"""The table of panels: what everything that draws them relies on."""

from __future__ import annotations

import pytest

from infra.observability.panels import DASHBOARDS, PANELS, Panel, Query, panels


def test_every_panel_is_in_a_dashboard_once_and_says_what_it_means() -> None:
    shown = [panel for name in DASHBOARDS for _, row in panels(name) for panel in row]
    assert sorted(panel.title for panel in shown) == sorted(panel.title for panel in PANELS)
    assert len({(panel.dashboard, panel.title) for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel.queries, panel.title
        assert len({query.legend for query in panel.queries}) == len(panel.queries), panel.title


@pytest.mark.parametrize(
    ("levels", "value", "expected"),
    [
        (((0.05, "bad"),), 0.049, "good"),
        (((0.05, "bad"),), 0.05, "bad"),
        (((1.0, "good"), (0.2, "warn"), (0.1, "bad")), 0.3, "good"),
        (((1.0, "good"), (0.2, "warn"), (0.1, "bad")), 0.2, "warn"),
        (((1.0, "good"), (0.2, "warn"), (0.1, "bad")), -1.0, "bad"),
        (((1, "bad"),), float("nan"), None),
        ((), 1.0, None),
    ],
)
def test_levels_rise_or_fall_with_the_value(levels: tuple, value: float, expected: str | None) -> None:
    assert Panel("", "model", "", (Query("x"),), levels=levels).level(value) == expected


def test_a_series_is_called_by_its_labels_and_a_missing_one_is_empty() -> None:
    assert Query("x", "p50 version {version}").name({"version": "7"}) == "p50 version 7"
    assert Query("x", "{by}: {reason}").name({"by": "rule"}) == "rule:"
