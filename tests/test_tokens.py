"""The file of tokens: what it holds, who may read it, and that nobody's change is lost."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from har.errors import SettingsError
from har.tokens import Tokens, add_token, list_tokens, remove_token, rotate_token


def test_a_file_of_an_earlier_release_holds_one_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("a-token-of-an-operator\n")
    assert [token.name for token in list_tokens(path)] == ["first"]
    tokens = Tokens(path)
    assert tokens.name_of(b"a-token-of-an-operator") == "first"
    added = add_token(path, "gym")
    assert [tokens.name_of(b"a-token-of-an-operator"), tokens.name_of(added.encode())] == ["first", "gym"]
    newer = rotate_token(path, "first")
    assert [tokens.name_of(b"a-token-of-an-operator"), tokens.name_of(newer.encode())] == [None, "first"]


def test_only_its_owner_reads_it_and_no_draft_is_left(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "token"
    token = add_token(path, "gym")
    rotate_token(path, "gym")
    assert len(token) > 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in path.parent.iterdir()) == [".token.lock", "token"]
    assert token not in path.read_text()


def test_comments_short_words_and_a_second_line_of_a_name_are_no_tokens(tmp_path: Path) -> None:
    path = tmp_path / "token"
    lines = ["# gym:0123456789abcdef", "", "short", "gym:short", "a b c d e f g h i j k l", "ok:0123456789abcdef"]
    path.write_text("\n".join([*lines, "ok:another-one-of-ok", ""]))
    assert [token.name for token in list_tokens(path)] == ["ok"]
    assert Tokens(path).name_of(b"0123456789abcdef") == "ok"
    assert Tokens(path).name_of(b"another-one-of-ok") is None


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "token"
    names = [f"client-{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        made = dict(zip(names, pool.map(lambda name: add_token(path, name), names), strict=True))
    tokens = Tokens(path)
    assert {tokens.name_of(token.encode()): token for token in made.values()} == made


@pytest.mark.parametrize("name", ["", "a b", "-x", "a:b", "ä", "a" * 33, "../x"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="a name of letters"):
        add_token(tmp_path / "token", name)


def test_what_is_not_there_is_named_with_what_is(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(SettingsError, match="har tokens add gym"):
        rotate_token(path, "gym")
    add_token(path, "gym")
    with pytest.raises(SettingsError, match="har tokens rotate gym"):
        add_token(path, "gym")
    with pytest.raises(SettingsError, match="Did you mean 'gym'"):
        remove_token(path, "gmy")
    remove_token(path, "gym")
    assert list_tokens(path) == []
