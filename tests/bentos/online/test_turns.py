"""Requests that came together are worked on in several rounds of the event loop, in their order."""

from __future__ import annotations

import asyncio
import time

from bentos.online._turns import Turns


async def rounds(turns: Turns, count: int, work_s: float) -> list[tuple[int, int]]:
    """Number of each request, in the order that they were worked on, and the round that it was in."""
    now, order = 0, []

    async def request(number: int) -> None:
        await turns.take()
        until = time.thread_time() + work_s
        while time.thread_time() < until:
            pass
        order.append((number, now))

    waiting = asyncio.gather(*(request(number) for number in range(count)))
    while not waiting.done():
        await asyncio.sleep(0)
        now += 1
    return order


def test_a_round_ends_when_its_time_is_used_up() -> None:
    order = asyncio.run(rounds(Turns(0.005), 20, 0.002))
    assert [number for number, _ in order] == list(range(20))
    per_round = [sum(found == one for _, found in order) for one in {found for _, found in order}]
    # The third of them begins within the time; nobody is stopped in the middle.
    assert max(per_round) <= 3
    assert len(per_round) >= 7


def test_one_request_longer_than_a_round_has_one_of_its_own() -> None:
    order = asyncio.run(rounds(Turns(0.001), 4, 0.003))
    assert [number for number, _ in order] == list(range(4))
    assert len({found for _, found in order}) == 4


def test_short_requests_do_not_wait_for_another_round() -> None:
    order = asyncio.run(rounds(Turns(60), 100, 0))
    assert len({found for _, found in order}) == 1
