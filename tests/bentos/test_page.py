"""The services' pages load from the service alone, as a machine without a way out needs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bentoml._internal import server

from bentos._page import PAGE


def test_the_page_names_no_other_host() -> None:
    assert not re.search(rb"https?:|//", PAGE.replace(b"<!doctype", b""))


@pytest.mark.parametrize("name", re.findall(rb"static_content/([a-z.-]+)", PAGE))
def test_what_the_page_loads_comes_with_bentoml(name: bytes) -> None:
    assert (Path(server.__file__).parent / "static_content" / name.decode()).is_file()
