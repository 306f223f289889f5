"""Messages that were put are durable, counted once, and survive the process."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import signal
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from har.errors import StorageError
from har.streaming.envelope import Envelope, StreamKey
from har.streaming.ledger import read_ledger
from har.streaming.queue import Queue, Refused
from har.streaming.store import shard_of

_KEY = StreamKey("anna", "phone", "walk")


def _queue(folder: Path, *, most: int = 1000) -> Queue:
    return Queue(folder / "stream", shards=3, most=most, quarantine=folder / "quarantine")


def _message(sequence: int, key: StreamKey = _KEY) -> Envelope:
    samples = np.full((50, 6), sequence, np.float32)
    return Envelope(key, sequence, sequence * 1_000_000, 50.0, samples, "wrist")


def test_what_was_put_is_read_back_in_order_and_bit_for_bit(tmp_path: Path) -> None:
    queue = _queue(tmp_path)
    sent = [_message(0), _message(1), _message(2, StreamKey("ben", "watch", "s"))]
    placed = queue.put(sent)
    assert (placed.accepted, placed.duplicates, placed.full) == (3, 0, False)
    assert placed.durable == {_KEY: 1, StreamKey("ben", "watch", "s"): -1}
    stored, odd = queue.shards[shard_of("anna", 3)].read(0, 10, 6)
    assert odd == []
    mine = [one.envelope for one in stored if one.envelope.key == _KEY]
    assert [one.sequence for one in mine] == [0, 1]
    np.testing.assert_array_equal(mine[1].samples, sent[1].samples)
    assert (mine[1].t0_us, mine[1].rate_hz, mine[1].placement) == (1_000_000, 50.0, "wrist")


def test_two_processes_of_a_folder_know_each_others_messages(tmp_path: Path) -> None:
    one, other = _queue(tmp_path), _queue(tmp_path)
    one.put([_message(0)])
    assert other.put([_message(0)]).duplicates == 1
    other.put([_message(1)])
    placed = one.put([_message(1), _message(2)])
    assert (placed.accepted, placed.duplicates, placed.durable[_KEY]) == (1, 1, 2)
    ledger = read_ledger(tmp_path / "stream")
    assert ledger.balances
    assert (ledger.total.received, ledger.total.waiting, ledger.total.duplicate) == (5, 3, 2)


def test_a_full_queue_takes_nothing_and_says_so(tmp_path: Path) -> None:
    queue = _queue(tmp_path, most=3)
    assert queue.put([_message(0), _message(1), _message(2)]).accepted == 3
    placed = queue.put([_message(3)])
    assert (placed.full, placed.accepted) == (True, 0)
    assert read_ledger(tmp_path / "stream").total.received == 3
    assert queue.put([_message(3)], force=True).accepted == 1


def test_refused_messages_are_counted_and_kept_with_the_reason(tmp_path: Path) -> None:
    queue = _queue(tmp_path)
    queue.put([_message(0)])
    bad = [Refused("no JSON", b"\x00\xff"), Refused("out of range", b"{}", _KEY, 1)]
    placed = queue.put([_message(2)], bad)
    assert placed.refused == 2
    assert placed.durable[_KEY] == 2
    ledger = read_ledger(tmp_path / "stream")
    assert ledger.balances
    assert ledger.subjects["unknown"].rejected == 1
    anna = ledger.subjects["anna"]
    assert (anna.received, anna.rejected, anna.waiting) == (3, 1, 2)
    lines = (tmp_path / "quarantine" / "stream" / "refused.jsonl").read_text().splitlines()
    kept = [json.loads(line) for line in lines]
    assert [one["reason"] for one in kept] == ["no JSON", "out of range"]
    assert base64.b64decode(kept[0]["body"]) == b"\x00\xff"
    assert (kept[1]["subject"], kept[1]["sequence"]) == ("anna", 1)


def test_threads_put_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    queue = _queue(tmp_path)

    def send(device: str) -> None:
        for sequence in range(40):
            queue.put([_message(sequence, StreamKey("anna", device, "s"))])

    threads = [threading.Thread(target=send, args=(f"d{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = read_ledger(tmp_path / "stream").total
    assert (total.received, total.waiting, total.duplicate) == (160, 160, 0)


def test_a_store_that_another_process_holds_is_an_error_and_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("har.streaming.store._shard._BUSY_S", 0.05)
    queue = _queue(tmp_path)
    queue.put([_message(0)])
    holder = sqlite3.connect(queue.shards[shard_of("anna", 3)].path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked"):
        queue.put([_message(1)])
    holder.execute("ROLLBACK")
    placed = queue.put([_message(1)])
    assert (placed.accepted, placed.durable[_KEY]) == (1, 1)


def test_a_full_disk_is_an_error_and_the_store_goes_on_when_there_is_space(tmp_path: Path) -> None:
    queue = _queue(tmp_path, most=100_000)
    shard = queue.shards[shard_of("anna", 3)]
    pages = shard.connection.execute("PRAGMA page_count").fetchone()[0]
    shard.connection.execute(f"PRAGMA max_page_count={pages + 3}")
    with pytest.raises(StorageError, match="full"):
        queue.put([_message(sequence) for sequence in range(100)])
    assert read_ledger(tmp_path / "stream").total.received == 0
    shard.connection.execute("PRAGMA max_page_count=1000000")
    assert queue.put([_message(sequence) for sequence in range(100)]).accepted == 100


def _put_for_ever(folder: Path, told: str) -> None:
    queue = _queue(folder, most=10**9)
    with Path(told).open("w", encoding="utf-8") as file:
        for sequence in range(10**6):
            queue.put([_message(sequence)])
            file.write(f"{sequence}\n")
            file.flush()


def test_what_a_killed_process_was_told_to_be_durable_is_there(tmp_path: Path) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)
    process = multiprocessing.get_context("spawn").Process(target=_put_for_ever, args=(tmp_path, str(told)))
    process.start()
    assert process.pid is not None
    with told.open() as file:
        heard = [file.readline() for _ in range(50)]
        os.kill(process.pid, signal.SIGKILL)
        heard += [line for line in file if line.endswith("\n")]
    process.join()
    ledger = read_ledger(tmp_path / "stream")
    assert ledger.balances
    assert int(heard[-1]) + 1 <= ledger.total.received <= int(heard[-1]) + 2
