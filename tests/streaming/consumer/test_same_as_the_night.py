"""A streamed day of real recordings gets the predictions of the nightly batch of that day, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from run_support import ingest
from stream_support import Bench, ListSource, flush, small_model, streamed

from har.inference import Classifier
from har.jobs.score import chunks_to_score, pending, score_chunk
from har.lake import Lake
from har.sample import replay
from har.settings import Settings, load_settings
from har.streaming.consumer import Model
from har.streaming.envelope import Arrays, encode
from har.streaming.sources import Delivery

_DAY = "2024-01-02"
_SAME = ["subject", "stream", "start", "end", "activity", "confidence", "abstained", "smoothed", "unknown"]


def _bodies(path: Path, settings: Settings, drawn: np.random.Generator) -> list[list[bytes]]:
    """A file as its device would send it: messages of about a second, late, twice and cut ones among them."""
    frame = pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)
    subject, _, session = path.stem.partition("_")
    time = frame["time"]
    if time.dtype == pl.String:
        time = time.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
    stamps = time.cast(pl.Datetime("us")).to_physical()
    channels = settings.sensors.channels
    units = {name: "g" if name.startswith("accel") else "rad/s" for name in channels}
    values = frame.select(channels).to_numpy()
    sent: list[tuple[float, list[bytes]]] = []
    row = sequence = 0
    while row < len(frame):
        size = int(drawn.integers(20, 80))
        message = Arrays(
            subject=subject,
            device="watch",
            session=session,
            sequence=sequence,
            t0=int(stamps[row]),
            rate_hz=50.0,
            channels=channels,
            units=units,
            placement="wrist",
            samples=np.ascontiguousarray(values[row : row + size]),
        )
        body = encode(message, str(drawn.choice(["json", "msgpack"])))
        late = float(drawn.choice([0, 0, 0, 1.5, 3.5]))  # messages; `stream.lateness_s` is 5
        sent.append((sequence + late, [body]))
        if drawn.random() < 0.05:
            sent.append((sequence + late + float(drawn.integers(0, 9)), [body]))
        if drawn.random() < 0.05:
            sent.append((sequence + late - 0.1, [body[: len(body) // 2]]))
        row += size
        sequence += 1
    return [bodies for _, bodies in sorted(sent, key=lambda one: one[0])]


@pytest.mark.parametrize("smoothing", ["none", "hmm"])
def test_a_streamed_day_gets_the_predictions_of_the_night(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smoothing: str
) -> None:
    toml = (project / "har.toml").read_text() + f'\n[scoring]\nsmoothing = "{smoothing}"\n[stream]\nshards = 2\n'
    (project / "har.toml").write_text(toml)
    settings = load_settings(project)
    inbox = settings.path("inbox")
    replay(inbox, settings)
    for path in [*inbox.rglob("*.csv"), *inbox.rglob("*.parquet")]:
        if path.parent.name != _DAY or path.stem > "s03":
            path.unlink()
    files = sorted(path for path in inbox.rglob("*") if path.is_file())
    ingest()
    model = small_model(tmp_path / "model.onnx", settings)
    lake = Lake(settings.path("lake"), settings.sensors.channels)
    _score(lake, settings, model)
    night = lake.predictions.read()

    other = tmp_path / "streamed"
    other.mkdir()
    (other / "har.toml").write_text(toml)
    there = load_settings(other)
    drawn = np.random.default_rng(7)
    streams = [_bodies(path, settings, drawn) for path in files]
    source = ListSource()
    while any(streams):
        for stream in streams:
            source.waiting += [Delivery(body) for body in (stream.pop(0) if stream else ())]
    one = Bench(there, sources=[source], answerer=Model(there, model, 1))
    one.quiet()
    ledger = one.ledger()
    one.close()
    flush(there)
    live = streamed(there)

    assert ledger.balances
    assert ledger.total.duplicate > 0
    assert ledger.total.rejected > 0
    assert (ledger.total.late, ledger.total.waiting) == (0, 0)
    assert len(night) > 60
    assert _comparable(live).equals(_comparable(night))
    # The night after, the streamed samples are scored as any others: the same once more, and nothing counts twice.
    streamed_lake = Lake(there.path("lake"), there.sensors.channels)
    _score(streamed_lake, there, model)
    again = streamed_lake.predictions.read().filter(pl.col("request_id").is_null())
    assert _comparable(again).equals(_comparable(night))


def _score(lake: Lake, settings: Settings, model: Path) -> None:
    for chunk in chunks_to_score(lake, pending(lake, 1)):
        score_chunk(lake, settings, Classifier(model, threads=1), 1, chunk)


def _comparable(predictions: pl.DataFrame) -> pl.DataFrame:
    named = predictions.with_columns(pl.col("session").str.split(".").list.first().alias("stream"))
    return named.select(_SAME).sort("subject", "stream", "start")
