"""The peer: the same model, windows and tables, scored by a torch DataLoader loop as one would first write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch.utils.data import DataLoader, Dataset

from har.lake import Lake
from har.settings import Settings
from har.training import Fitted


class _Windows(Dataset[torch.Tensor]):
    def __init__(self, frame: pl.DataFrame, settings: Settings) -> None:
        self._parts = [
            torch.from_numpy(part.select(settings.sensors.channels).to_numpy().astype(np.float32))
            for part in frame.partition_by("date", "subject", "session", "segment", maintain_order=True)
        ]
        self._length = settings.length
        self._index = [
            (number, start)
            for number, part in enumerate(self._parts)
            for start in range(0, len(part) - settings.length + 1, settings.stride)
        ]

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> torch.Tensor:
        number, start = self._index[index]
        return self._parts[number][start : start + self._length]


def score(lake: Lake, settings: Settings, fitted: Fitted, folder: Path, *, batch_size: int, workers: int) -> int:
    """Score every date and write one Parquet file a date; returns the number of windows."""
    folder.mkdir(parents=True, exist_ok=True)
    fitted.module.eval()
    total = 0
    for date in sorted({date for date, _ in lake.samples.partitions()}):
        wanted = [partition for partition in lake.samples.partitions() if partition[0] == date]
        frame = lake.samples.read(partitions=wanted).sort("subject", "session", "time")
        loader = DataLoader(_Windows(frame, settings), batch_size=batch_size, num_workers=workers)
        winners, confidence = [], []
        with torch.inference_mode():
            for batch in loader:
                top = fitted.module(batch)[0].max(dim=1)
                winners.append(top.indices.numpy())
                confidence.append(top.values.numpy())
        rows = pl.DataFrame({"activity": np.concatenate(winners), "confidence": np.concatenate(confidence)})
        rows.write_parquet(folder / f"{date}.parquet")
        total += len(rows)
    return total
