"""Which labels a release may be judged by: those that came with a token."""

from __future__ import annotations

from pathlib import Path

import pytest
from journal_support import encoded, feedback, prediction, shadow

from har.release._paired import LABELLED_BLOCK
from har.release._reading import PairedReader


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("10.0.0.9, token gym-tablet", 1),
        ("a proxy, with token", 1),  # of a service whose tokens had no names
        ("127.0.0.1", 0),
        ("a proxy", 0),
        (None, 0),
    ],
)
def test_only_feedback_with_a_token_is_evidence(tmp_path: Path, source: str | None, blocks: int) -> None:
    numbers = range(LABELLED_BLOCK)
    lines = [prediction(number, subject="s01") for number in numbers] + [shadow(number) for number in numbers]
    told = [feedback(f"f{number}", "PEN", request_id=f"r{number}", source=source) for number in numbers]
    (tmp_path / "log.jsonl").write_bytes(encoded(*lines, *told))
    reader = PairedReader(tmp_path, ("PEN", "IR"), new=3, former=9, since_us=0)
    reader.update()
    assert reader.faults == 0
    found = reader.paired()
    reader.close()
    assert found.windows == LABELLED_BLOCK
    assert len(found.labelled_blocks) == blocks
