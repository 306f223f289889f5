"""Whether streamed samples may enter the lake: the contract of all samples, as far as a part can be judged."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from har.recordings import breaches, resting_magnitude, sample_contract
from har.settings import Settings

_LEAST_S = 55.0
"""Seconds of samples from which the acceleration at rest can be judged: a short movement may be all there is."""
_SESSION = ("date", "subject", "session")
Key = tuple[str, str, str]


class Checker:
    """Checks samples against `har.recordings.sample_contract`.

    Args:
        settings: of the project.
    """

    def __init__(self, settings: Settings) -> None:
        from pandera.polars import DataFrameSchema

        whole = sample_contract(settings)
        # Gravity is judged for all sessions at once, and only where there is enough of it.
        checks = [check for check in whole.checks if check.name != "gravity"]
        self._contract = DataFrameSchema(whole.columns, checks=checks, strict=True, ordered=True, name="samples")
        self._least = round(_LEAST_S * settings.sensors.rate_hz)
        accelerometer = settings.sensors.accelerometer
        axes = accelerometer.channels if accelerometer is not None else ()
        self._axes = axes if len(axes) == 3 else ()

    def problems(self, frames: Mapping[Key, pl.DataFrame], after_us: Mapping[Key, int]) -> dict[Key, str]:
        """What is wrong with the next samples of sessions; those with which nothing is are left out.

        Args:
            frames: the samples by date, subject and session, as in the lake.
            after_us: stamp of each session's last sample before.
        """
        found = {}
        for key, frame in frames.items():
            first = int(frame["time"].to_physical()[0])
            if first <= after_us[key]:
                found[key] = f"the samples begin at {first} µs, not after the session's last one at {after_us[key]} µs"
        if frames and self._broken(pl.concat(frames.values())):
            for key, frame in frames.items():
                broken = self._broken(frame)
                if broken and key not in found:
                    found[key] = f"the samples break the contract: {broken}"
        return {**self._without_gravity(frames), **found}

    def _broken(self, frame: pl.DataFrame) -> str:
        from pandera.errors import SchemaErrors

        try:
            self._contract.validate(frame, lazy=True)
        except SchemaErrors as error:
            return ", ".join(sorted(breaches(error)))
        return ""

    def _without_gravity(self, frames: Mapping[Key, pl.DataFrame]) -> dict[Key, str]:
        enough = [frame for frame in frames.values() if len(frame) >= self._least]
        if not enough or not self._axes:
            return {}
        rest = resting_magnitude(pl.concat(enough).lazy(), self._axes).filter(~pl.col("plausible"))
        return {
            (date.isoformat(), subject, session): f"the acceleration at rest is {magnitude:.3g} m/s², not about 9.81"
            for date, subject, session, magnitude in rest.select(*_SESSION, "magnitude").iter_rows()
        }
