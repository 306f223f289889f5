"""The page that leads to every page."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock
from monitoring_support import Given, day_report, story
from page_support import Page

from har.pages import write_index, write_pages


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_every_page_is_linked_and_every_link_leads_to_a_page(tmp_path: Path) -> None:
    write_pages(tmp_path, Given(*story(17)), [], title="house")
    put(tmp_path, "evaluation.html", "loop.html", "model-2.html", "model-10.html")
    put(tmp_path, *(f"activity/2026-01-{day:02}.{kind}" for day in range(5, 22) for kind in ("html", "parquet")))
    page = write_index(tmp_path, title="house")
    assert page == tmp_path / "index.html"
    shown = Page(page.read_text(encoding="utf-8"))
    links = {tmp_path / link for link in shown.links}
    assert links == {path for path in tmp_path.rglob("*.html") if path != page}
    models = [link for link in shown.links if link.startswith("model-")]
    assert models == ["model-10.html", "model-2.html"], "the newest first"
    days = [link for link in shown.links if link.startswith("activity/")]
    assert days == sorted(days, reverse=True)
    assert shown.words.count("3 earlier days") == 2


def test_says_first_what_the_last_day_was_like(tmp_path: Path) -> None:
    reports = [day_report(drifted=True)]
    write_pages(tmp_path, Given(reports), [], title="house")
    words = Page(write_index(tmp_path, title="house").read_text(encoding="utf-8")).words
    assert words.index(reports[0].verdict) < words.index("Models")
    (tmp_path / "drift" / "2026-01-05.json").unlink()
    assert write_index(tmp_path, title="house").exists(), "without its JSON, the day is listed all the same"


def test_an_empty_folder_says_what_to_run(tmp_path: Path) -> None:
    shown = Page(write_index(tmp_path / "reports", title="house").read_text(encoding="utf-8"))
    assert shown.links == []
    for command in ("har train", "har evaluate", "har score", "har monitor"):
        assert command in shown.words


def test_pages_written_later_are_added(tmp_path: Path) -> None:
    put(tmp_path, "model-1.html")
    before = write_index(tmp_path, title="house").read_bytes()
    assert write_index(tmp_path, title="house").read_bytes() == before
    put(tmp_path, "model-2.html", "notes.html", "activity/notes.html")
    shown = Page(write_index(tmp_path, title="house").read_text(encoding="utf-8"))
    assert shown.links == ["model-2.html", "model-1.html"], "files of other names are not pages of ours"
    with FileLock(tmp_path / ".index.lock", timeout=1):
        pass  # it is released
