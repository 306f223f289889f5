"""The handbook's page on sources of one's own: its example is written into a project, and read from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from har.errors import SettingsError
from har.settings import Settings
from har.streaming.sources import Source, find_source, open_source, source_kinds

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "new-source.md"


@pytest.fixture
def source(project: Path, settings: Settings) -> Source:
    """The example, as the page says that it is named in har.toml."""
    text = GUIDE.read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    named = re.search(r'sources = \["(folder_source\.py:data/gateway)"\]', text)
    assert code and named
    assert len([line for line in code[1].splitlines() if line.strip()]) <= 40
    (project / "folder_source.py").write_text(code[1])
    (project / "data" / "gateway").mkdir(parents=True, exist_ok=True)
    checked = Settings(**{**settings.model_dump(), "stream": {"sources": [named[1]]}}, root=project)
    return open_source(checked.stream.sources[0], checked)


def test_the_example_of_the_handbook_is_a_source(source: Source, project: Path) -> None:
    gateway = project / "data" / "gateway"
    for number in range(3):
        (gateway / f"{number}.msg").write_bytes(b"%d" % number)
    (gateway / "3.part").write_bytes(b"incom")
    first = source.poll(0.0, 2)
    assert [one.body for one in first] == [b"0", b"1"]
    source.pause()
    assert source.poll(0.0, 10) == []
    source.resume()
    assert [one.body for one in source.poll(0.0, 10)] == [b"2"]
    source.acknowledge(first)
    source.tell({})
    source.close()
    assert sorted(path.name for path in gateway.iterdir()) == ["2.msg", "3.part"]


def test_the_sources_of_the_program_are_listed() -> None:
    assert [kind.name for kind in source_kinds()] == ["kafka", "mqtt", "replay"]
    assert all(kind.about for kind in source_kinds())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mqqt", r"got 'mqqt'\. Did you mean 'mqtt'\?"),
        ("quue", "Did you mean 'queue'"),
        ("nothing.py", "no such file"),
        ("empty.py", "expected a module-level SOURCE"),
        ("broken.py", r"broken\.py, line 1: expected Python"),
    ],
)
def test_a_source_that_is_none_is_named(settings: Settings, project: Path, name: str, says: str) -> None:
    (project / "empty.py").write_text("")
    (project / "broken.py").write_text("def\n")
    with pytest.raises(SettingsError, match=says):
        open_source(name, settings)


def test_replay_says_which_pace_it_takes(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="replay:inbox@SPEED"):
        find_source("replay").open(settings, "inbox@fast")
