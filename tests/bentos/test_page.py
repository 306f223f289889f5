"""The services' pages load from the service alone, because the machine may have no network."""

from __future__ import annotations

import re

import pytest

from bentos._page import PAGE

pytestmark = pytest.mark.stack


def test_the_page_names_no_other_host() -> None:
    assert not re.search(rb"https?:|//", PAGE.replace(b"<!doctype", b""))
