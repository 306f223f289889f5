"""The page in a real browser: keys, drag, touch, undo, two people, a service that is away, a narrow screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from label_support import filled
from live_support import CHROMIUM
from live_support import browser as opening
from serving_support import Service

from har.labelling import Store, Task, store_path

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Debian's chromium is not installed")
TASKS = 12
CONTRAST = """() => {
  const light = (text) => text.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const under = (e) => {
    while (e && getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)") e = e.parentElement;
    return e ? getComputedStyle(e).backgroundColor : "rgb(255, 255, 255)";
  };
  const all = [...document.querySelectorAll("button, p, h1, h2, kbd, em, summary, .name b")];
  return all.filter((e) => e.offsetParent && e.textContent.trim()).map((e) => {
    const [more, less] = [light(getComputedStyle(e).color), light(under(e))].sort((x, y) => y - x);
    return [(more + 0.05) / (less + 0.05), e.textContent.trim().slice(0, 30)];
  });
}"""
"""The contrast of every visible text with what is under it, as WCAG 2 defines it, and the text."""


@pytest.fixture
def tasks(service: Service) -> list[Task]:
    store(service).path.unlink(missing_ok=True)
    return filled(store(service).path, TASKS)[1]


@pytest.fixture
def page(service: Service, tasks: list[Task]) -> Iterator[Page]:
    """The page as ann has opened it."""
    with browsing(viewport={"width": 1280, "height": 800}) as opened:
        begin(opened, service, "ann")
        yield opened


@contextmanager
def browsing(**context: Any) -> Iterator[Page]:
    """A page of a browser of its own."""
    with opening() as page_of, page_of(**context) as opened:
        yield opened


def store(service: Service) -> Store:
    return Store(store_path(service.settings.path("journal")))


def begin(page: Page, service: Service, name: str) -> None:
    page.goto(f"{service.url}/label")
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Begin").click()
    page.wait_for_selector("#context .plot path")


def shown(page: Page, text: str) -> None:
    """Wait until the progress says so."""
    says = "text => document.querySelector('#progress').textContent.startsWith(text)"
    page.wait_for_function(says, arg=text, polling=20)  # without frames, which an idle emulated phone does not draw


def test_windows_are_labelled_by_keys_and_drag_and_taken_back(page: Page, service: Service, tasks: list[Task]) -> None:
    assert page.locator("#context .plot").count() == 2
    assert page.locator("#context path").count() == 6
    assert "s01" in page.inner_text("#question")
    assert "35 %" in page.get_by_role("button", name="WALK").inner_text()
    page.keyboard.press("2")
    shown(page, "1 of 12")
    page.keyboard.press("x")
    shown(page, "2 of 12")
    page.keyboard.press("z")
    shown(page, "1 of 12")
    plots = page.locator("#context").bounding_box()
    assert plots is not None
    middle, top = plots["x"] + plots["width"] / 2, plots["y"] + 30
    page.mouse.move(middle - 100, top)
    page.mouse.down()
    page.mouse.move(middle + 40, top + 5, steps=4)
    page.mouse.up()
    assert "Your range: 09:00:5" in page.inner_text("#ranged")
    page.get_by_role("button", name="RUN").dblclick()
    shown(page, "2 of 12")
    walked, ran = store(service).answers()
    assert (walked.activity, walked.start_us, walked.end_us) == ("WALK", tasks[0].start_us, tasks[0].end_us)
    assert ran.task == tasks[1].task
    assert (ran.activity, ran.labeller) == ("RUN", "ann")
    ms_per_pixel = (tasks[1].to_us - tasks[1].from_us) / 1000 / plots["width"]
    assert ran.end_us - ran.start_us == pytest.approx(140_000 * ms_per_pixel, rel=0.02)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    box = page.get_by_role("button", name="WALK").bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert box["y"] + box["height"] <= 844  # within a thumb's reach, without scrolling
    page.reload()  # who it is, and what is done, is known again
    shown(page, "2 of 12")
    page.keyboard.press("z")
    shown(page, "1 of 12")


@pytest.mark.release
def test_the_range_moves_by_keys(page: Page, service: Service, tasks: list[Task]) -> None:
    for key, count in (("ArrowRight", 3), ("Shift+ArrowLeft", 2), ("Alt+ArrowRight", 1)):
        for _ in range(count):
            page.keyboard.press(key)
    page.keyboard.press("2")
    shown(page, "1 of 12")
    (answer,) = store(service).answers()
    assert (answer.start_us - tasks[0].start_us, answer.end_us - tasks[0].end_us) == (-200_000, 1_300_000)
    start = page.get_by_role("slider", name="Start of the range")
    start.focus()
    for key in ("ArrowLeft", "PageDown", "ArrowRight"):
        page.keyboard.press(key)
    assert start.get_attribute("aria-valuenow") == "-1.00"
    page.keyboard.press("Home")
    assert start.get_attribute("aria-valuetext") == "-30.00 s"
    page.get_by_role("slider", name="End of the range").focus()
    page.keyboard.press("End")
    page.keyboard.press("Escape")
    assert "the asked 4.0 s" in page.inner_text("#ranged")
    page.get_by_role("slider", name="End of the range").focus()
    for _ in range(60):  # not past the window's beginning
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("2")
    shown(page, "2 of 12")
    assert store(service).answers()[1].end_us == tasks[1].start_us + 200_000


@pytest.mark.release
def test_a_finger_draws_the_range(service: Service, tasks: list[Task]) -> None:
    with browsing(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        begin(page, service, "tom")
        plots = page.locator("#context").bounding_box()
        assert plots is not None
        touch = page.context.new_cdp_session(page)
        x, y = plots["x"] + plots["width"] * 0.4, plots["y"] + 20
        for kind, at in (("touchStart", x), ("touchMove", x + 20), ("touchMove", x + 90), ("touchEnd", None)):
            points = [] if at is None else [{"x": at, "y": y}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert "Your range: " in page.inner_text("#ranged")
        assert "asked" not in page.inner_text("#ranged")
        page.get_by_role("button", name="SIT").tap()
        shown(page, "1 of 12")
    (answer,) = store(service).answers()
    assert answer.start_us is not None
    assert answer.start_us != tasks[0].start_us


@pytest.mark.release
def test_an_answer_waits_for_a_service_that_is_away(page: Page, service: Service) -> None:
    page.context.set_offline(True)
    page.keyboard.press("1")
    page.wait_for_function("document.querySelector('#notice').textContent.startsWith('Not stored yet')")
    page.keyboard.press("2")  # nothing is answered meanwhile
    page.context.set_offline(False)
    shown(page, "1 of 12")
    assert page.locator("#notice").is_hidden()
    assert [answer.activity for answer in store(service).answers()] == ["SIT"]


@pytest.mark.release
def test_two_people_see_how_far_they_agree_and_when_all_is_done(service: Service) -> None:
    store(service).path.unlink(missing_ok=True)
    filled(store(service).path, 3, shared=1.0)
    for name, keys in (("ann", "121"), ("ben", "123")):
        with browsing(viewport={"width": 1000, "height": 800}, color_scheme="dark") as page:
            begin(page, service, name)
            for number, key in enumerate(keys, start=1):
                page.keyboard.press(key)
                left = len(keys) - number
                page.wait_for_function(
                    "n => document.querySelector('#progress').textContent.includes(n)", arg=f"{left} left"
                )
            page.wait_for_selector("#done:not([hidden])")
            if name == "ben":
                page.wait_for_selector("#agreement:not([hidden])")
                assert "κ 0.50 over 3 windows, 1 in dispute" in page.inner_text("#agreement-sum")
            page.keyboard.press("z")
            page.wait_for_selector("#task:not([hidden])")
            page.keyboard.press(keys[-1])
            page.wait_for_selector("#done:not([hidden])")


@pytest.mark.release
def test_every_control_has_a_name_and_contrast_in_light_and_dark(service: Service, tasks: list[Task]) -> None:
    for scheme in ("light", "dark"):
        with browsing(viewport={"width": 1280, "height": 800}, color_scheme=scheme) as page:
            begin(page, service, f"ann {scheme}")
            faint = [found for found in page.evaluate(CONTRAST) if found[0] < 4.5]
            assert not faint, (scheme, faint)
            for control in page.locator("button, input, [role=slider]").all():
                if control.is_visible():
                    assert control.evaluate(
                        "e => e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length"
                    )


@pytest.mark.release
def test_how_many_windows_a_minute_the_page_lets_through(service: Service) -> None:
    """The page's own part: a key is pressed as soon as the next window is drawn. No pace is demanded."""
    store(service).path.unlink(missing_ok=True)
    filled(store(service).path, 100)
    with browsing(viewport={"width": 1280, "height": 800}) as page:
        begin(page, service, "robot")
        began = time.monotonic()
        for number in range(1, 101):
            page.keyboard.press(str(1 + number % 3))
            shown(page, f"{number} of 100")
        seconds = time.monotonic() - began
    print(f"{100 / seconds * 60:.0f} windows per minute, {10 * seconds:.0f} ms each")
    assert len(store(service).answers()) == 100
