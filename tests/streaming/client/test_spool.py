"""The spool of the reference client: what it took survives, and it forgets what the project has, nothing else."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from har.errors import SettingsError
from har.streaming._acks import Ack
from har.streaming.client import Made, Spool
from har.streaming.envelope import StreamKey

KEY = StreamKey("anna", "watch", "a")
OTHER = StreamKey("ben", "phone", "b")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool")
    yield opened
    opened.close()


def _made(numbers: range, key: StreamKey = KEY) -> list[Made]:
    return [Made(key, number, number * 1_000_000, b"%d" % number, "application/json") for number in numbers]


def _due(spool: Spool, **how: float) -> list[int]:
    return [one.sequence for one in spool.due(int(how.pop("most", 100)), how.pop("again_s", 10.0), **how)]


def test_messages_come_out_in_order_once_until_it_is_time_again(spool: Spool) -> None:
    assert spool.add(_made(range(4))) == 4
    first = spool.due(3, 10, now=0)
    assert [(one.key, one.sequence, one.body) for one in first] == [(KEY, n, b"%d" % n) for n in range(3)]
    spool.sent([one.number for one in first], now=0)
    assert _due(spool, most=3, now=1) == [], "three are on their way"
    assert _due(spool, most=4, now=1) == [3]
    assert _due(spool, most=4, now=10) == [0, 1, 2, 3]


def test_it_forgets_what_an_acknowledgement_covers(spool: Spool) -> None:
    spool.add(_made(range(4)) + _made(range(2), OTHER))
    spool.sent([one.number for one in spool.due(100, 10)])
    assert spool.forget([Ack(*KEY, 1), Ack(*OTHER, -1)]) == 2
    assert spool.waiting == 4
    assert spool.forget([Ack(*KEY, 3), Ack(*KEY, 0)]) == 2
    assert spool.waiting == 2


def test_a_promise_about_messages_that_were_never_made_is_not_believed(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    """Another device sends under the same names."""
    spool.add(_made(range(2)))
    with caplog.at_level(logging.WARNING, "har.stream.client"):
        assert spool.forget([Ack(*KEY, 57), Ack("nobody", "x", "y", 3)]) == 0
    assert spool.waiting == 2
    assert "told of message 57, but 1 was the last" in caplog.text


def test_a_recording_that_is_spooled_again_adds_nothing(tmp_path: Path, spool: Spool) -> None:
    spool.add(_made(range(3)))
    spool.forget([Ack(*KEY, 1)])
    assert spool.add(_made(range(5))) == 2
    assert spool.following(KEY) == 5
    assert _due(spool) == [2, 3, 4]


def test_a_refused_message_is_set_aside_and_kept(spool: Spool) -> None:
    spool.add(_made(range(3)))
    spool.refuse(spool.due(3, 10)[1].number, "422: no unit")
    assert spool.refused == ["422: no unit"]
    assert spool.waiting == 2
    assert _due(spool) == [2], "those before it went out with it"


def test_messages_that_are_safe_by_themselves_are_removed(spool: Spool) -> None:
    spool.add(_made(range(4)))
    numbers = [one.number for one in spool.due(100, 10)]
    assert spool.remove([numbers[0], numbers[2], 999]) == 2
    assert spool.waiting == 2
    spool.take_back()
    assert _due(spool) == [1, 3]


def test_one_process_at_a_time(tmp_path: Path, spool: Spool) -> None:
    with pytest.raises(SettingsError, match="another process"):
        Spool(tmp_path / "spool")


def test_what_it_took_survives_a_kill(tmp_path: Path) -> None:
    program = """
    import sys
    from pathlib import Path
    from har.streaming.client import Made, Spool
    from har.streaming.envelope import StreamKey
    spool = Spool(Path(sys.argv[1]))
    for first in range(0, 1000, 10):
        numbers = range(first, first + 10)
        spool.add(Made(StreamKey("anna", "watch", "a"), n, 0, b"x", "application/json") for n in numbers)
        print(first + 10, flush=True)
    sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "spool")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(20)]
        process.kill()
    spool = Spool(tmp_path / "spool")
    assert spool.waiting >= said[-1]
    assert spool.waiting == spool.following(KEY)
    spool.close()
